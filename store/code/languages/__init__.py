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

__all__ = [
    "LANGUAGES",
    "LANGUAGE_NAMES",
    "PYTHON",
    "TEXT",
    "Language",
    "language_of",
    "languages_called",
    "plain_language_of",
]

LANGUAGES: tuple[Language, ...] = (PYTHON, JAVASCRIPT, TYPESCRIPT, TSX, GO, RUST, JAVA, C, CPP)

#: What a file is in when nothing says more.
TEXT = "text"

#: Of all that a file may be said to be in.
LANGUAGE_NAMES = tuple(sorted({each.name for each in LANGUAGES} | {*PLAIN_LANGUAGES.values(), TEXT}))

_ALIASES = {
    "bash": "shell",
    "c#": "csharp",
    "c++": "cpp",
    "golang": "go",
    "js": "javascript",
    "jsx": "javascript",
    "md": "markdown",
    "py": "python",
    "rb": "ruby",
    "rs": "rust",
    "sh": "shell",
    "ts": "typescript",
    "yml": "yaml",
}
#: Who asks for a language means what is written in an extension of it, too.
_WITH = {TYPESCRIPT.name: {TSX.name}}

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


def languages_called(name: str) -> frozenset[str]:
    """The languages that somebody means by a name, in any case; none by one that is not known."""
    known = _ALIASES.get(name.lower(), name.lower())
    return frozenset({known} | _WITH.get(known, set())) if known in LANGUAGE_NAMES else frozenset()
