"""What the two models read of a chunk. What helps them was measured: docs/adr/0015."""

from store.code.identifiers import identifier_words
from store.code.source import Chunk

#: Characters of what a chunk says: a model reads no more, and what comes first says most.
_LONGEST_TEXT = 2000
#: Characters of the words of code that says nothing about itself. Each costs with each chunk.
_LONGEST_WORDS = 300


def text_input(path: str, chunk: Chunk) -> str:
    """What a chunk says about itself: for the TEXT model. Never empty."""
    names = ", ".join(_words(symbol.rpartition(".")[2]) for symbol in chunk.symbols) or _words(chunk.name)
    said = "" if names or chunk.docstring else _words(chunk.content[: 2 * _LONGEST_WORDS])[:_LONGEST_WORDS]
    lines = (names, chunk.docstring, _words(chunk.parent), _words(chunk.signature), _words(path), said)
    return "\n".join(line for line in lines if line)[:_LONGEST_TEXT] or path


def code_input(path: str, chunk: Chunk) -> str:
    """The code of a chunk, and where it is: for the CODE model. Never empty."""
    return f"{path} {chunk.parent}".rstrip() + f"\n{chunk.content}"


def _words(text: str) -> str:
    return " ".join(identifier_words(text))
