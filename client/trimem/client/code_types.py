"""Code in plain dataclasses: what is indexed, and what is found. code_service.proto explains the fields."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from trimem.client.errors import TrimemError


class CodeKind(StrEnum):
    """What a chunk is a piece of."""

    MODULE = "MODULE"
    CLASS = "CLASS"
    FUNCTION = "FUNCTION"
    METHOD = "METHOD"
    LINES = "LINES"


class CutMethod(StrEnum):
    """How a file was cut into chunks."""

    SYNTAX = "SYNTAX"
    SYNTAX_WITH_ERRORS = "SYNTAX_WITH_ERRORS"
    LINES = "LINES"


class CodeSearchMode(StrEnum):
    """What a search compares: all of the others together, the code, what it says about itself, or names."""

    FUSED = "FUSED"
    CODE = "CODE"
    TEXT = "TEXT"
    NAMES = "NAMES"


@dataclass(frozen=True, slots=True)
class UnchangedFile:
    """A file that need not be sent, because it is stored just like this."""

    path: str
    #: As `list_files` says it: SHA-256 of the content, in hexadecimal digits.
    content_hash: str


#: A file on its way in: its path, with `/`, and what is in it; or that it is stored already.
FileToIndex: TypeAlias = tuple[str, bytes] | UnchangedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What became of a file that was not simply stored."""

    path: str
    #: Why it was not stored; None when it was.
    error: TrimemError | None
    cut_method: CutMethod | None
    #: What is remarkable about it.
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexResult:
    """What became of many files."""

    stored: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: int = 0
    #: Of the stored files.
    chunks: int = 0
    #: Of `chunks`, those that were not known from before.
    embedded: int = 0
    #: Of the repository's graph after the commit.
    nodes: int = 0
    edges: int = 0
    #: Files that were not stored, and stored ones with something remarkable. The first 1,000, failures before the
    #: others; `failed` counts all.
    results: tuple[FileResult, ...] = ()

    @property
    def settled(self) -> int:
        """Files that something became of."""
        return self.stored + self.unchanged + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """What is kept of a repository."""

    name: str
    files: int
    chunks: int
    has_uncommitted_changes: bool
    create_time: datetime
    #: None when it never was committed.
    commit_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedRepository:
    """What was removed with a repository."""

    files: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file as it is kept."""

    path: str
    #: Empty when it should be sent again.
    content_hash: str
    language: str
    size_bytes: int
    lines: int
    chunks: int
    cut_method: CutMethod | None
    note: str
    update_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeChunk:
    """A piece of a file. Lines are counted from 1, the last one included; bytes from 0, the end excluded."""

    id: str
    repository: str
    path: str
    language: str
    kind: CodeKind | None
    name: str
    qualified_name: str
    parent: str
    signature: str
    docstring: str
    start_line: int
    end_line: int
    start_byte: int
    end_byte: int
    content: str
    imports: tuple[str, ...]
    parameters: tuple[str, ...]
    decorators: tuple[str, ...]
    complexity: int
    symbols: tuple[str, ...]
    embedding_error: str
    file_content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """Some lines of a chunk."""

    start_line: int
    lines: tuple[str, ...]
    #: Numbers, in the file, of those that have words of the query.
    matching_lines: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeHit:
    """A chunk and how well it matches."""

    chunk: CodeChunk
    score: float
    code_similarity: float
    text_similarity: float
    names_score: float
    snippet: Snippet


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSearchPage:
    """Some hits, best first."""

    hits: tuple[CodeHit, ...]
    #: What was compared in fact.
    mode: CodeSearchMode | None
    #: False when there may be better hits, or more.
    complete: bool
    #: True when names answered alone, because the embedder could not be reached.
    degraded: bool
    #: Empty on the last page.
    next_page_token: str
