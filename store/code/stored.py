"""Files and chunks on their way into the store, and as they are kept."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from store.code.source import Chunk, CutMethod
from store.events import EmbeddingSpace, Vector, Words

_CHUNKS = UUID("3f6d2c52-8a0e-5d7b-9b39-52c1a4f1f0a7")


@dataclass(frozen=True, slots=True)
class Vectors:
    """What the two models made of a chunk."""

    text: Vector
    code: Vector


@dataclass(frozen=True, slots=True)
class CodeSpaces:
    """The spaces of the two."""

    text: EmbeddingSpace
    code: EmbeddingSpace


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk that may be stored."""

    id: UUID
    chunk: Chunk
    names: tuple[str, ...]
    words: Words
    #: SHA-256 of what is embedded.
    input_hash: bytes
    vectors: Vectors | None = None
    #: Why it has none.
    embedding_error: str | None = None


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that may be stored."""

    path: str
    #: SHA-256.
    content_hash: bytes
    language: str
    size: int
    line_count: int
    method: CutMethod
    cut_version: int
    note: str
    #: JSON text, of `store.code.outline_json`.
    outline: str
    #: In the order of the file.
    chunks: tuple[NewChunk, ...]


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What tells whether a file is stored as it is."""

    content_hash: bytes
    cut_version: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it is kept."""

    path: str
    content_hash: bytes
    cut_version: int
    language: str
    size: int
    line_count: int
    chunk_count: int
    method: CutMethod
    note: str
    update_time: datetime


@dataclass(frozen=True, slots=True)
class CodeRepositoryFacts:
    """What is kept of a repository."""

    name: str
    file_count: int
    chunk_count: int
    #: Files changed after the last commit.
    changed: bool
    create_time: datetime
    commit_time: datetime | None


def chunk_id(repository: str, path: str, content: str, number: int) -> UUID:
    """The id of a chunk, the `number`th of its file with this content: the same as long as these are."""
    return uuid5(_CHUNKS, f"{repository}\x00{path}\x00{number}\x00{content}")
