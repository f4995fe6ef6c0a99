"""What a search asks of the place where events are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from uuid import UUID

from store.events import EmbeddingSpace, Event, EventFilter, Vector


@dataclass(frozen=True, slots=True)
class Recency:
    """How much age counts: half after `half_life` seconds before `now`."""

    #: Unix time, as candidates have it.
    now: float
    half_life: float

    def halvings(self, time: float) -> float:
        """How often a score is halved. What lies ahead is as good as new."""
        return max(0.0, self.now - time) / self.half_life


@dataclass(frozen=True, slots=True)
class Question:
    """What to look for: by words, by a vector, or by both."""

    #: Distinct terms, as in `Words`.
    terms: Sequence[int] = ()
    vector: Vector | None = None
    #: None for a vector that did not come from the embedder.
    space: EmbeddingSpace | None = None
    recency: Recency | None = None
    #: How many of the nearest events to bring along: with most searches by vector they are the page.
    bring: int = 0


class Candidate(NamedTuple):
    """An event that may be a hit, and how it compares with the whole question. There are hundreds in a search."""

    id: UUID
    #: Of the event, in Unix time.
    time: float
    #: Cosine in [-1, 1]; None when the event has no vector, or the question has none.
    similarity: float | None
    #: BM25; 0 when the event has none of the words.
    lexical_score: float


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a search has to choose from."""

    #: Those nearest by vector and those best by words, each compared in both ways, in no order.
    found: list[Candidate]
    #: The BM25 score that no event can exceed; 0 without words.
    best_lexical_score: float = 0.0
    #: The BM25 score that events which were not looked at may reach; 0 when all were looked at.
    unseen_lexical_score: float = 0.0
    #: The similarity that embedded events which are not among those found cannot exceed; -1 when there are none.
    unseen_similarity: float = -1.0
    #: Events that came along.
    events: Mapping[UUID, Event] = field(default_factory=dict)
    #: Whether a limit on scanning may have hidden nearer events than those found.
    may_miss_nearest: bool = False


class SearchRepository(Protocol):
    """Finds events. Raises as EventRepository does."""

    async def candidates(self, question: Question, matching: EventFilter, limit: int) -> Candidates:
        """The `limit` embedded events nearest by cosine, and the `limit` events best by BM25 after recency.

        Fewer than `limit` nearest means that there are no more. Where a filter may have hidden nearer ones, the answer
        says so.
        """
        ...

    async def events(self, ids: Sequence[UUID], matching: EventFilter) -> dict[UUID, Event]:
        """Those of the events that are still there and within the filter."""
        ...
