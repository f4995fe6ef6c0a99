"""Code in memory: the fake beside PostgreSQL, for tests. `tests/contract` holds the two to the same behaviour."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from servicekit.errors import AbortedError
from store.code.path_filter import PathFilter
from store.code.source import StoredChunk
from store.code.stored import CodeRepositoryFacts, CodeSpaces, KnownFile, NewChunk, NewFile, SourceFile
from store.errors import CodeDimensionError, CodeSpaceMismatchError
from store.events import EmbeddingSpace
from store.graph import CODE_NAMESPACE
from store.repositories.code import CodeCounts, KnownVectors
from store.spaces import CODE_COLUMN, CODE_TEXT_COLUMN


@dataclass(slots=True)
class MemoryCodeData:
    """What the fakes share, and forget. Their methods never wait, so each is a transaction."""

    #: Length of the vectors; None takes any.
    dimension: int | None = None
    #: Without their counts.
    repositories: dict[str, CodeRepositoryFacts] = field(default_factory=dict)
    files: dict[tuple[str, str], tuple[NewFile, datetime]] = field(default_factory=dict)
    #: As of the last commit of each repository.
    terms: dict[str, Counter[int]] = field(default_factory=dict)
    spaces: dict[str, EmbeddingSpace] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    #: Nodes and edges of a namespace: what the graph beside it knows.
    graph_size: Callable[[str], tuple[int, int]] = lambda _namespace: (0, 0)

    def of(self, repository: str) -> list[tuple[NewFile, datetime]]:
        """The files of a repository, by path."""
        return [self.files[key] for key in sorted(self.files, key=_bytes) if key[0] == repository]

    def chunks_of(self, repository: str) -> list[NewChunk]:
        """All chunks of a repository."""
        return [chunk for file, _ in self.of(repository) for chunk in file.chunks]

    def note_change(self, repository: str) -> None:
        """Files of a repository have changed."""
        facts = self.repositories.get(repository)
        if facts is None:
            facts = CodeRepositoryFacts(repository, 0, 0, changed=True, create_time=datetime.now(UTC), commit_time=None)
        self.repositories[repository] = replace(facts, changed=True)

    def hold_spaces(self, spaces: CodeSpaces) -> None:
        """Check that vectors are of the recorded spaces; record them when they are the first."""
        for column, space in ((CODE_TEXT_COLUMN, spaces.text), (CODE_COLUMN, spaces.code)):
            if self.dimension not in (None, space.dimension):
                raise CodeDimensionError(self.dimension or 0, space)
            stored = self.spaces.setdefault(column, space)
            if stored.fingerprint != space.fingerprint:
                raise CodeSpaceMismatchError(column, stored, space)


@dataclass
class MemoryCode:
    """See CodeRepository."""

    data: MemoryCodeData = field(default_factory=MemoryCodeData)

    @asynccontextmanager
    async def indexing(self, repository: str) -> AsyncIterator["MemoryIndexing"]:
        """See CodeRepository."""
        if repository in self.data.locked:
            raise AbortedError(f"another call indexes or deletes {repository}", retry_after=5)
        self.data.locked.add(repository)
        try:
            yield MemoryIndexing(self.data, repository)
        finally:
            self.data.locked.discard(repository)

    async def is_known(self, repository: str) -> bool:
        """See CodeRepository."""
        return repository in self.data.repositories

    async def repositories(self, after: str, limit: int) -> list[CodeRepositoryFacts]:
        """See CodeRepository."""
        names = sorted(name for name in self.data.repositories if name > after)[:limit]
        return [
            replace(
                self.data.repositories[name],
                file_count=len(self.data.of(name)),
                chunk_count=len(self.data.chunks_of(name)),
            )
            for name in names
        ]

    async def files(self, repository: str, matching: PathFilter, after: str, limit: int) -> list[SourceFile]:
        """See CodeRepository."""
        found = [
            _stored(file, time)
            for file, time in self.data.of(repository)
            if file.path.encode() > after.encode() and matching.matches(file.path)
        ]
        return found[:limit]

    async def chunk(self, chunk_id: UUID) -> StoredChunk | None:
        """See CodeRepository."""
        for (repository, _), (file, _) in self.data.files.items():
            for chunk in file.chunks:
                if chunk.id == chunk_id:
                    return stored_chunk(repository, file, chunk)
        return None


@dataclass
class MemoryIndexing:
    """See Indexing."""

    data: MemoryCodeData
    repository: str
    named: set[str] = field(default_factory=set)

    async def name(self, paths: Sequence[str]) -> set[str]:
        """See Indexing."""
        fresh = set(paths) - self.named
        self.named |= fresh
        return fresh

    async def known(self, paths: Collection[str]) -> dict[str, KnownFile]:
        """See Indexing."""
        found = {file.path: file for file, _ in self.data.of(self.repository) if file.path in paths}
        return {path: KnownFile(file.content_hash, file.cut_version) for path, file in found.items()}

    async def vectors(self, hashes: Collection[bytes]) -> KnownVectors:
        """See Indexing."""
        found = {
            chunk.input_hash: chunk.vectors
            for chunk in self.data.chunks_of(self.repository)
            if chunk.vectors is not None and chunk.input_hash in hashes
        }
        if not found:
            return KnownVectors()
        return KnownVectors(found, CodeSpaces(self.data.spaces[CODE_TEXT_COLUMN], self.data.spaces[CODE_COLUMN]))

    async def write(self, files: Sequence[NewFile], spaces: CodeSpaces | None) -> None:
        """See Indexing."""
        if spaces is not None:
            self.data.hold_spaces(spaces)
        self.data.note_change(self.repository)
        for file in files:
            self.data.files[self.repository, file.path] = (file, datetime.now(UTC))

    async def delete_unnamed(self) -> int:
        """See Indexing."""
        gone = [key for key in self.data.files if key[0] == self.repository and key[1] not in self.named]
        for key in gone:
            del self.data.files[key]
        if gone:
            self.data.note_change(self.repository)
        return len(gone)

    async def has_changed(self) -> bool:
        """See Indexing."""
        facts = self.data.repositories.get(self.repository)
        return facts is None or facts.changed

    async def require_held(self) -> None:
        """See Indexing."""

    async def outlines(self) -> AsyncIterator[list[tuple[str, str, str]]]:
        """See Indexing."""
        for file, _ in self.data.of(self.repository):
            yield [(file.path, file.language, file.outline)]

    async def commit(self) -> None:
        """See Indexing."""
        self.data.note_change(self.repository)
        facts = self.data.repositories[self.repository]
        self.data.repositories[self.repository] = replace(facts, changed=False, commit_time=datetime.now(UTC))
        chunks = self.data.chunks_of(self.repository)
        self.data.terms[self.repository] = Counter(term for chunk in chunks for term in chunk.words.terms)

    async def graph_size(self) -> tuple[int, int]:
        """See Indexing."""
        return self.data.graph_size(CODE_NAMESPACE + self.repository)

    async def forget_commit(self) -> CodeCounts | None:
        """See Indexing."""
        if self.repository not in self.data.repositories:
            return None
        self.data.note_change(self.repository)
        return CodeCounts(len(self.data.of(self.repository)), len(self.data.chunks_of(self.repository)))

    async def delete(self) -> None:
        """See Indexing."""
        del self.data.repositories[self.repository]
        self.data.terms.pop(self.repository, None)
        for key in [key for key in self.data.files if key[0] == self.repository]:
            del self.data.files[key]


def stored_chunk(repository: str, file: NewFile, new: NewChunk) -> StoredChunk:
    """A chunk as it comes back."""
    return StoredChunk(
        id=new.id,
        repository=repository,
        path=file.path,
        language=file.language,
        chunk=new.chunk,
        embedding_error=new.embedding_error or "",
        file_content_hash=file.content_hash.hex(),
    )


def _stored(file: NewFile, time: datetime) -> SourceFile:
    return SourceFile(
        path=file.path,
        content_hash=file.content_hash,
        cut_version=file.cut_version,
        language=file.language,
        size=file.size,
        line_count=file.line_count,
        chunk_count=len(file.chunks),
        method=file.method,
        note=file.note,
        update_time=time,
    )


def _bytes(key: tuple[str, str]) -> tuple[str, bytes]:
    return key[0], key[1].encode()
