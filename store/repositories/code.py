"""What the use cases ask of the place where code is kept."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from store.code.path_filter import PathFilter
from store.code.source import StoredChunk
from store.code.stored import CodeRepositoryFacts, CodeSpaces, KnownFile, NewFile, SourceFile, Vectors


@dataclass(frozen=True, slots=True)
class KnownVectors:
    """Vectors that are stored, by `input_hash`, and their spaces; None when there are none."""

    vectors: dict[bytes, Vectors] = field(default_factory=dict)
    spaces: CodeSpaces | None = None


@dataclass(frozen=True, slots=True)
class CodeCounts:
    """How many files and chunks."""

    files: int
    chunks: int


class Indexing(Protocol):
    """A repository while nobody else changes it. Every method raises DatabaseUnavailableError when that has ended."""

    async def name(self, paths: Sequence[str]) -> set[str]:
        """Note that the files of these paths stay, and return those that were not named before."""
        ...

    async def known(self, paths: Collection[str]) -> dict[str, KnownFile]:
        """Those of the files that are stored."""
        ...

    async def vectors(self, hashes: Collection[bytes]) -> KnownVectors:
        """Vectors that chunks of the repository with these inputs have."""
        ...

    async def write(self, files: Sequence[NewFile], spaces: CodeSpaces | None) -> None:
        """Store files, all or none, each in the place of the one with its path. Paths must be distinct.

        Chunks that stay the same keep their rows. `spaces` is None exactly when no chunk has vectors. Raises
        CodeSpaceMismatchError and CodeDimensionError; checked in the same transaction.
        """
        ...

    async def delete_unnamed(self) -> int:
        """Delete the files that were not named, and return how many there were."""
        ...

    async def has_changed(self) -> bool:
        """Whether files were stored or deleted after the last `commit`; of a repository that is not known, True."""
        ...

    async def require_held(self) -> None:
        """Nothing, unless somebody else may change the repository by now."""
        ...

    def outlines(self) -> AsyncIterator[list[tuple[str, str, str]]]:
        """Path, language and outline of all files, by path, some at a time."""
        ...

    async def commit(self) -> None:
        """Count the words of all chunks anew, when something has changed, and note that nothing has since."""
        ...

    async def graph_size(self) -> tuple[int, int]:
        """Nodes and edges of the repository."""
        ...

    async def forget_commit(self) -> CodeCounts | None:
        """Note that the graph is not that of the files any more. What there is of files; None when there is nothing."""
        ...

    async def delete(self) -> None:
        """Delete the repository, with its files."""
        ...


class CodeRepository(Protocol):
    """Keeps code. Every method may raise DatabaseUnavailableError, DeadlineExceededError, ResourceExhaustedError."""

    def indexing(self, repository: str) -> AbstractAsyncContextManager[Indexing]:
        """The right to change a repository. Raises AbortedError when another call has it."""
        ...

    async def is_known(self, repository: str) -> bool:
        """Whether there is such a repository."""
        ...

    async def repositories(self, after: str, limit: int) -> list[CodeRepositoryFacts]:
        """Repositories whose name comes after this one, by name; at most `limit`."""
        ...

    async def files(self, repository: str, matching: PathFilter, after: str, limit: int) -> list[SourceFile]:
        """Files of a repository whose path comes after this one, by path; at most `limit`."""
        ...

    async def chunk(self, chunk_id: UUID) -> StoredChunk | None:
        """The chunk with this id."""
        ...
