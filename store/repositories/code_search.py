"""What a search for code asks of the place where chunks are kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from uuid import UUID

from store.code.path_filter import PathFilter
from store.code.source import CodeKind, StoredChunk
from store.events import EmbeddingSpace, Vector


@dataclass(frozen=True, slots=True)
class CodeFilter:
    """Which chunks are wanted; empty means all."""

    repository: str = ""
    path: PathFilter = field(default_factory=PathFilter)
    languages: Collection[str] = ()
    #: Of the chunk, or of any definition in it.
    kinds: Collection[CodeKind] = ()


@dataclass(frozen=True, slots=True)
class Meaning:
    """The vector of a query, and the space that it is of."""

    vector: Vector
    space: EmbeddingSpace


@dataclass(frozen=True, slots=True)
class CodeQuestion:
    """What to look for, by each arm; without what an arm needs, it finds nothing."""

    code: Meaning | None = None
    text: Meaning | None = None
    #: Distinct, as in `Words`.
    terms: Sequence[int] = ()
    #: Names in the form of `names_of`, and how much of the query each is, in (0, 1].
    names: Mapping[str, float] = field(default_factory=dict)


class CodeCandidate(NamedTuple):
    """A chunk that may be a hit, and how it compares with the whole question."""

    id: UUID
    #: Cosines in [-1, 1]; None when the chunk has no vector, or the question has none.
    code: float | None
    text: float | None
    #: BM25; 0 when the chunk has none of the words.
    words: float
    #: The most that a name of the chunk is of the query; 0 when none is.
    named: float


@dataclass(frozen=True, slots=True)
class CodeCandidates:
    """What a search has to choose from."""

    #: What each arm found, compared by all of them, in no order.
    found: Sequence[CodeCandidate]
    #: The BM25 score that no chunk can exceed; 0 without words.
    best_words: float = 0.0
    #: The BM25 score that chunks which were not looked at may reach; 0 when all were looked at.
    unseen_words: float = 0.0
    #: The most of the query that the name of a chunk which was not looked at may be; 0 when all were looked at.
    unseen_named: float = 0.0
    #: Whether a limit on scanning may have hidden nearer chunks than those found.
    may_miss_nearest: bool = False


class CodeSearchRepository(Protocol):
    """Finds chunks. Raises as EventRepository does, and EmbeddingSpaceMismatchError."""

    async def candidates(self, question: CodeQuestion, matching: CodeFilter, limit: int) -> CodeCandidates:
        """The `limit` best chunks by code, by text, by words, and by names."""
        ...

    async def chunks(self, ids: Sequence[UUID], matching: CodeFilter) -> dict[UUID, StoredChunk]:
        """Those of the chunks that are still there and within the filter."""
        ...
