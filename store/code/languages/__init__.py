"""The languages whose files are cut along their syntax, and which of them a file is in."""

from pathlib import PurePosixPath

from store.code.languages.c_family import CPP, C, header_language
from store.code.languages.go import GO
from store.code.languages.java import JAVA
from store.code.languages.javascript import JAVASCRIPT
from store.code.languages.language import Language
from store.code.languages.plain import PLAIN_LANGUAGES
from store.code.languages.python import PYTHON
from store.code.languages.rust import RUST
from store.code.languages.typescript import TSX, TYPESCRIPT

__all__ = ["LANGUAGES", "PYTHON", "TEXT", "Language", "language_of", "plain_language_of"]

LANGUAGES: tuple[Language, ...] = (PYTHON, JAVASCRIPT, TYPESCRIPT, TSX, GO, RUST, JAVA, C, CPP)

#: What a file is in when nothing says more.
TEXT = "text"

_BY_SUFFIX = {suffix: language for language in LANGUAGES for suffix in language.suffixes}
_FIRST_LINE = 200


def language_of(path: str, content: bytes) -> Language | None:
    """By the name of the file, else by the interpreter in its first line; None of one that is cut by lines."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == ".h":
        return header_language(content)
    if suffix:
        return _BY_SUFFIX.get(suffix)
    first = content[:_FIRST_LINE].split(b"\n", 1)[0].decode(errors="replace")
    if not first.startswith("#!"):
        return None
    return next((each for each in LANGUAGES if any(word in first for word in each.interpreters)), None)


def plain_language_of(path: str) -> str:
    """What a file that is cut by lines is said to be in."""
    name = PurePosixPath(path)
    return PLAIN_LANGUAGES.get(name.suffix.lower()) or PLAIN_LANGUAGES.get(name.name.lower()) or TEXT
