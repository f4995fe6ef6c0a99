"""What is known of a source file once it is cut, in plain dataclasses: no parser, no transport, no database in here."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class CodeKind(StrEnum):
    """What a chunk or a definition is; the values are those of the column. See code_service.proto."""

    MODULE = "MODULE"
    CLASS = "CLASS"
    FUNCTION = "FUNCTION"
    METHOD = "METHOD"
    LINES = "LINES"


class CutMethod(StrEnum):
    """How a file was cut; the values are those of the column. See code_service.proto."""

    SYNTAX = "SYNTAX"
    SYNTAX_WITH_ERRORS = "SYNTAX_WITH_ERRORS"
    LINES = "LINES"


class ReferenceKind(StrEnum):
    """How a definition is referred to; the values are the types of edges."""

    CALLS = "calls"
    INHERITS = "inherits"
    REFERENCES = "references"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a file. Bytes from 0, the end excluded; lines from 1, the end included."""

    start_byte: int
    end_byte: int
    start_line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition: a function, a method, or what CodeKind.CLASS stands for."""

    kind: CodeKind
    name: str
    #: With the names of the definitions around it, joined by `.`: `JSONDecoder.decode`.
    qualified_name: str
    #: Qualified name of the definition around it; empty at the top.
    parent: str
    #: With its decorators and its leading comment.
    span: Span
    #: Up to the body, on one line or some.
    signature: str = ""
    #: Docstring or leading comment, without marks.
    docstring: str = ""
    parameters: tuple[str, ...] = ()
    #: As written, without marks: `functools.cache`, `app.route("/")`.
    decorators: tuple[str, ...] = ()
    #: Of a class, as written: `json.JSONDecoder`.
    bases: tuple[str, ...] = ()
    #: Python only; 0 for others.
    complexity: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a file that is found by itself; see CodeChunk in code_service.proto."""

    kind: CodeKind
    span: Span
    #: Decoded; bytes that are no UTF-8 are replaced.
    content: str
    name: str = ""
    qualified_name: str = ""
    parent: str = ""
    signature: str = ""
    docstring: str = ""
    imports: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    decorators: tuple[str, ...] = ()
    #: The highest of these and its own.
    complexity: int = 0
    #: Qualified names of the definitions that begin in it.
    symbols: tuple[str, ...] = ()
    #: What a filter takes it for: its own, those of the definitions, MODULE for what is outside of any.
    kinds: frozenset[CodeKind] = frozenset()
    #: What the definitions say, to be embedded; kept is what the first one says.
    signatures: tuple[str, ...] = ()
    docstrings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Import:
    """A name that a file gets from elsewhere."""

    #: As written: `..models`, `fmt`, `./upload`, `std::fs`, `java.util.List`, `stdio.h`.
    module: str
    #: What of the module; empty for the module itself, `*` for all of it.
    name: str
    #: What it is called in the file; empty when nothing is bound, as by `#include` or `*`. `import os.path` binds
    #: `os.path`, with the dot.
    alias: str
    line: int
    #: As of Reference: an import in a function is seen there alone.
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """A place that calls, inherits from, or names a definition."""

    kind: ReferenceKind
    #: What is referred to, as written and without arguments, joined by `.`: `self.decoder.decode`, `os.path.join`,
    #: `Path().joinpath().read_text`, `rows[].get`; `?` for what is no name: `?.get`.
    target: str
    #: Qualified name of the innermost definition around it; empty at the top of the file.
    scope: str
    line: int


@dataclass(frozen=True, slots=True)
class Binding:
    """A variable, a parameter or an attribute, and what is known of its value."""

    #: As written: `decoder`, `self.decoder`; `return` for what a function returns.
    name: str
    #: What it is annotated with, as written: `json.JSONDecoder`; with `()` when it is made by a call:
    #: `json.JSONDecoder()`; after `=` when it is another name for something: `=json.dumps`. Empty when nothing is
    #: known: it hides what has its name further out.
    type_name: str
    #: As of Reference.
    scope: str


@dataclass(frozen=True, slots=True)
class Outline:
    """What a file defines, imports and refers to."""

    symbols: tuple[Symbol, ...] = ()
    imports: tuple[Import, ...] = ()
    references: tuple[Reference, ...] = ()
    bindings: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True)
class CutFile:
    """A file in pieces. Chunks are in the order of the file, do not overlap, and leave out nothing but white space."""

    #: In lower case; `text` when it is not known.
    language: str
    method: CutMethod
    line_count: int
    chunks: tuple[Chunk, ...]
    outline: Outline = field(default_factory=Outline)
    #: What is remarkable, for people; empty when nothing is.
    note: str = ""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as it is kept; see CodeChunk in code_service.proto."""

    id: UUID
    repository: str
    path: str
    language: str
    chunk: Chunk
    #: Empty when it has vectors.
    embedding_error: str
    #: SHA-256 in hexadecimal digits.
    file_content_hash: str
