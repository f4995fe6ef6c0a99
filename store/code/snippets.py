"""The lines of a chunk that show best why it was found."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import accumulate

from store.code.identifiers import terms_of_line
from store.code.source import Chunk

MOST_LINES = 12
LONGEST_LINE = 400

# Chunks have fewer characters, and seldom as many lines: white space alone makes more.
_MOST_CHARACTERS = 32 * 1024
_LOOKED_AT = 2000


@dataclass(frozen=True, slots=True)
class Snippet:
    """Some lines of a chunk; numbers are those of the file, from 1."""

    start_line: int
    lines: tuple[str, ...]
    matching_lines: tuple[int, ...]


def snippet_of(chunk: Chunk, terms: Collection[int]) -> Snippet:
    """The run of lines that has most of the words; of words that are on few lines, more. The first one of some."""
    lines = chunk.content[:_MOST_CHARACTERS].split("\n", _LOOKED_AT)[:_LOOKED_AT]
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    wanted = frozenset(terms)
    found = [wanted & terms_of_line(line) for line in lines]
    rarity = Counter(term for terms in found for term in terms)
    sums = [0.0, *accumulate(sum(1 / rarity[term] for term in terms) for terms in found)]
    starts = range(max(1, len(lines) - MOST_LINES + 1))
    start = max(starts, key=lambda one: (round(sums[min(one + MOST_LINES, len(lines))] - sums[one], 9), -one))
    shown = range(start, min(start + MOST_LINES, len(lines)))
    first = chunk.span.start_line
    return Snippet(
        first + start,
        tuple(lines[place].rstrip("\r")[:LONGEST_LINE] for place in shown),
        tuple(first + place for place in shown if found[place]),
    )
