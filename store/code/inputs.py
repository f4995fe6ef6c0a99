"""What the two models read of a chunk. What helps them was measured: docs/adr/0015."""

from collections.abc import Sequence

from store.code.identifiers import identifier_words
from store.code.source import Chunk

#: Characters of what a chunk says: a model reads no more, and what comes first says most.
_LONGEST_TEXT = 2000
#: Characters of the words of code that says nothing about itself. Each costs with each chunk.
_LONGEST_WORDS = 300


def text_input(path: str, chunk: Chunk) -> str:
    """What a chunk says about itself: for the TEXT model. Never empty."""
    names = ", ".join(_words(symbol.rpartition(".")[2]) for symbol in chunk.symbols) or _words(chunk.name)
    said = "" if names or chunk.docstrings else _words(chunk.content[: 2 * _LONGEST_WORDS])[:_LONGEST_WORDS]
    parent, place = _words(chunk.parent), _words(path)
    own = _shared([*chunk.docstrings, *map(_words, chunk.signatures)], _LONGEST_TEXT - len(names + parent + place) - 3)
    docstrings, signatures = own[: len(chunk.docstrings)], own[len(chunk.docstrings) :]
    lines = (names, *docstrings, parent, *signatures, place, said)
    return "\n".join(line for line in lines if line)[:_LONGEST_TEXT] or path


def code_input(path: str, chunk: Chunk) -> str:
    """The code of a chunk, and where it is: for the CODE model. Never empty."""
    return f"{path} {chunk.parent}".rstrip() + f"\n{chunk.content}"


def _shared(texts: Sequence[str], room: int) -> list[str]:
    """The texts, cut so that as lines they fit: the longest ones, and none is left out for others."""
    kept = list(texts)
    room -= len(kept)
    for less, place in enumerate(sorted(range(len(kept)), key=lambda place: len(kept[place]))):
        kept[place] = kept[place][: max(room, 0) // (len(kept) - less)]
        room -= len(kept[place])
    return kept


def _words(text: str) -> str:
    return " ".join(identifier_words(text))
