"""What the two models read of a chunk."""

from store.code.identifiers import identifier_words
from store.code.source import Chunk

#: Characters: a model reads no more of it, and what comes first says most.
_LONGEST_TEXT = 2000


def text_input(path: str, chunk: Chunk) -> str:
    """What a chunk says about itself: for the TEXT model. Never empty."""
    place = " ".join(identifier_words(path))
    around = " ".join(identifier_words(chunk.parent))
    names = ", ".join(" ".join(identifier_words(symbol.rpartition(".")[2])) for symbol in chunk.symbols)
    signature = " ".join(identifier_words(chunk.signature))
    body = "" if chunk.docstring else " ".join(dict.fromkeys(identifier_words(chunk.content)))
    lines = (names or chunk.name, chunk.docstring, around, signature, place, body)
    return "\n".join(line for line in lines if line)[:_LONGEST_TEXT] or path


def code_input(path: str, chunk: Chunk) -> str:
    """The code of a chunk, and where it is: for the CODE model. Never empty."""
    return f"{path} {chunk.parent}".rstrip() + f"\n{chunk.content}"
