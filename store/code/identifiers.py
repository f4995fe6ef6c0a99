"""Which words, and which names, a search finds code by: `parseHTTPHeader` is found by `parse http header`."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from store.code.source import Chunk, CodeKind
from store.events import Words
from store.terms import folded, spoken_words, term_of

#: How often a word counts, by where it is. Measured: docs/adr/0015.
_NAME, _PARENT, _PLACE, _DOCSTRING, _CODE = 6, 2, 1, 1, 1

#: Words of a query that count: the first ones. A piece of code has more than a question.
MAX_QUERY_WORDS = 64

#: Characters of a name that is looked up as a whole. What is longer is no name, and no key of an index.
_LONGEST_NAME = 160
#: How much a name that is written otherwise is of what was asked for.
_OTHERWISE_WRITTEN = 0.9
#: Definitions around a definition that belong to its name.
_DEEPEST = 4

#: Files that are called by their folder.
_FOLDER_FILES = frozenset({"__init__", "__main__", "index", "mod", "lib"})

# Alternatives do not overlap but for the first, which is tried once: no text makes the search go back and forth.
_PART = re.compile(r"[A-Z]{2,}(?:s(?![a-z])|v[0-9]+)|[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+")
# What is longer is data, and read in pieces.
_IDENTIFIER = re.compile(r"[\w$]{1,200}")
_NUMBERED = re.compile(r"([a-z]{2,})[0-9]+")
_SQUEEZED = re.compile(r"[\W_]+")
_SEPARATOR = re.compile(r"::|->|[.#/\\:]")

# What code has in it, and prose seldom.
_SIGN = re.compile(r"\w[(\[]|[{};=]|\w\.\w|->|::|:$|^[ \t]+\S", re.MULTILINE)
#: Of this many words one sign is enough; of fewer, two.
_WORDS_OF_A_SIGN = 4

# In most languages that we know these are no names, and say nothing about the code that has them.
_RESERVED = """
    and as assert async await break case catch class const constexpr continue def do elif else enum except explicit
    export extends extern false final finally fn for foreach from func function global goto if impl implements import in
    instanceof int interface is lambda let mut namespace new nil none nonlocal not null nullptr or override pass private
    protected pub public raise return self sizeof static struct super switch template this throw throws trait true try
    typedef typename typeof undefined union unsafe using var virtual void volatile while with yield
"""
_KEYWORDS = frozenset([*_RESERVED.split(), "None", "True", "False"])

# Words of questions that say nothing about what is asked for. In code they are rare, and would count much.
_PHRASES = """
    a an are be been being but by can could did does doing done had has have having how i it its may me might must my of
    on our shall should so some such than that the their them then there these they those to us was we were what when
    where which who why will would you your
"""
_ASKING = frozenset(_PHRASES.split())

#: What stands before a name in the language that it is of, and in English.
_BEFORE_NAME = _KEYWORDS | {"method", "module", "type", "the"}


def identifier_words(text: str) -> list[str]:
    """The words of a text in their order, those of identifiers one by one, in lower case: `parse`, `http`, `header`."""
    return [part for identifier in _IDENTIFIER.findall(text) for part in _parts(identifier)]


def names_of(path: str, chunk: Chunk) -> list[str]:
    """What the definitions that begin in a chunk are called, for `names_asked` to be looked up in.

    A name as it is written has `=` before it. Without: letters and digits only, alone and with what is around it, such
    as `parseheader`, `serverparseheader`, `httpserverparseheader`. A file is called by its first chunk.
    """
    file = PurePosixPath(path)
    places = [file.stem, file.parent.name, f"{file.parent.name} {file.stem}"]
    named: dict[str, None] = {}
    for symbol in chunk.symbols:
        around = symbol.split(".")[-_DEEPEST:]
        named |= dict.fromkeys(_as_written(around[-1], ".".join(around)))
        named |= dict.fromkeys(_squeezed(" ".join(around[start:]) for start in range(len(around))))
        named |= dict.fromkeys(_squeezed(f"{place} {symbol}" for place in places))
    if chunk.kind is CodeKind.MODULE and chunk.span.start_line == 1:
        own = file.parent.name if file.stem in _FOLDER_FILES else file.stem
        named |= dict.fromkeys(_squeezed([own, f"{file.parent.name} {own}"]))
    return list(named)


def names_asked(query: str) -> dict[str, float]:
    """What a query may be the name of, in the form of `names_of`, and how much of the query that is, in (0, 1]."""
    line, _, more = query.strip()[: 2 * _LONGEST_NAME].partition("\n")
    words = line.partition("(")[0].rstrip(" :{;").split()
    if more and (not words or words[0] not in _KEYWORDS):
        return {}
    # `class Decoder` is the class of that name; `raise error` may be a function `raise_error`.
    asked = _names_in(words)
    while len(words) > 1 and words[0].lower() in _BEFORE_NAME:
        words = words[1:]
    return _names_in(words) | asked


def is_code(query: str) -> bool:
    """Whether a query looks like a piece of code, rather than like a question or a name."""
    return len(_SIGN.findall(query)) >= max(2, len(query.split()) / _WORDS_OF_A_SIGN)


def words_of_chunk(path: str, chunk: Chunk) -> Words:
    """The words of a chunk: names count more than the code, and keywords of languages nothing."""
    counted: Counter[int] = Counter()
    _count(counted, _terms(_IDENTIFIER.findall(path)), _PLACE)
    names = [symbol.rpartition(".")[2] for symbol in chunk.symbols] or [chunk.name]
    _count(counted, _terms(names), _NAME)
    _count(counted, _terms(chunk.parent.split(".")), _PARENT)
    _count(counted, _terms(_IDENTIFIER.findall(chunk.docstring)), _DOCSTRING)
    _count(counted, _terms(one for one in _IDENTIFIER.findall(chunk.content) if one not in _KEYWORDS), _CODE)
    terms = sorted(counted)
    return Words(tuple(terms), tuple(counted[term] for term in terms))


def terms_asked(query: str) -> tuple[int, ...]:
    """The words of a query to compare with `words_of_chunk`."""
    identifiers = dict.fromkeys(_IDENTIFIER.findall(query))
    telling = [one for one in identifiers if (low := one.lower()) not in _KEYWORDS and low not in _ASKING]
    found: set[int] = set()
    for term in _terms(telling or identifiers):
        found.add(term)
        if len(found) == MAX_QUERY_WORDS:
            break
    return tuple(sorted(found))


def terms_of_line(line: str) -> frozenset[int]:
    """The words of a line of code."""
    return frozenset(_terms(_IDENTIFIER.findall(line)))


def _names_in(words: list[str]) -> dict[str, float]:
    parts = [part for part in _SEPARATOR.split(" ".join(words)) if part]
    if len(words) > 1:
        return dict.fromkeys(_squeezed([" ".join(parts)]), _OTHERWISE_WRITTEN)
    asked: dict[str, float] = {}
    for start in range(len(parts)):
        share = (len(parts) - start) / len(parts)
        asked |= dict.fromkeys(_as_written(".".join(parts[start:])), share)
        asked |= dict.fromkeys(_squeezed([" ".join(parts[start:])]), share * _OTHERWISE_WRITTEN)
    return asked


def _terms(identifiers: Iterable[str]) -> Iterator[int]:
    """Each identifier's words, and the identifier as a whole."""
    for identifier in identifiers:
        parts = _parts(identifier)
        yield from map(term_of, parts)
        if len(parts) > 1:
            yield term_of("".join(parts))
        for part in parts:
            if numbered := _NUMBERED.fullmatch(part):
                yield term_of(numbered[1])


def _count(counted: Counter[int], terms: Iterable[int], weight: int) -> None:
    for term in terms:
        counted[term] += weight


def _parts(identifier: str) -> list[str]:
    if identifier.isascii():
        return [part.lower() for part in _PART.findall(identifier)]
    return [part for word in spoken_words(identifier.replace("$", "_")) for part in _parts_of_any(word)]


def _parts_of_any(word: str) -> Iterator[str]:
    """Of a word in any script: a capital after another letter begins a part, and so does the last one of some."""
    start = 0
    for place in range(1, len(word)):
        rises = word[place].isupper() and not word[place - 1].isupper()
        falls = word[place].islower() and word[place - 1].isupper() and place - 1 > start
        if rises or falls:
            end = place if rises else place - 1
            yield folded(word[start:end])
            start = end
    yield folded(word[start:])


def _as_written(*names: str) -> Iterator[str]:
    return (f"={name}" for name in names if name and len(name) <= _LONGEST_NAME)


def _squeezed(names: Iterable[str]) -> Iterator[str]:
    squeezed = (_SQUEEZED.sub("", folded(name)) for name in names if len(name) <= _LONGEST_NAME)
    return (name for name in squeezed if name)
