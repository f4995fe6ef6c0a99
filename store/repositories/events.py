"""What the use cases ask of the place where events are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from store.events import (
    EmbeddingSpace,
    EmbeddingState,
    Event,
    EventFilter,
    Json,
    NewEvent,
    Position,
    SearchHit,
    Vector,
)


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """What is stored already of the keys that were asked for."""

    #: By request_id: the event that it wrote.
    by_request: dict[str, Event]
    #: Ids that are in use.
    ids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that waits for its embedding."""

    id: UUID
    timestamp: datetime
    content: Json
    #: Changes with the content, so that an embedding of old content is not written.
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a pending event."""

    pending: PendingEvent
    state: EmbeddingState
    #: Present exactly when the state is EMBEDDED.
    embedding: Vector | None = None


@dataclass(frozen=True, slots=True)
class VectorSample:
    """The content and the stored vector of an event."""

    content: Json
    embedding: Vector


class EventRepository(Protocol):
    """Keeps events. Every method may raise DatabaseUnavailableError, DeadlineExceededError, ResourceExhaustedError.

    Vectors of different models never get mixed: every method that writes or compares vectors that the embedder made
    takes the space that they are of, and checks it in the same transaction. It raises EmbeddingSpaceMismatchError for
    a space other than that of the stored vectors, and EmbeddingSpaceUnknownError when there are vectors whose model
    nobody recorded. The first write records the space; of several at once one wins and the others are compared.
    """

    async def known(self, request_ids: Sequence[str], ids: Sequence[UUID]) -> KnownKeys:
        """What is stored under these keys."""
        ...

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """Store events, all in one transaction. Ids and request ids must be distinct.

        Returns the stored event for each, or None when its id or request_id turned out to be taken: ask `known`.
        `space` is None exactly when no event has a vector.
        """
        ...

    async def get(self, event_id: UUID) -> Event | None:
        """The event with this id."""
        ...

    async def page(self, matching: EventFilter, after: Position | None, limit: int) -> list[Event]:
        """Events of the filter, latest position first, those before `after` only; at most `limit`."""
        ...

    async def search(
        self, vector: Vector, space: EmbeddingSpace | None, matching: EventFilter, limit: int
    ) -> list[SearchHit]:
        """The embedded events nearest to a vector by cosine, nearest first; at most `limit`.

        A filter never hides events: fewer than `limit` hits means that there are no more. `space` is None for a
        vector that did not come from the embedder.
        """
        ...

    async def pending(self, limit: int) -> list[PendingEvent]:
        """Events that wait for their embedding, oldest first."""
        ...

    async def count_pending(self) -> int:
        """How many events wait for their embedding."""
        ...

    async def settle(self, settled: Sequence[Settled], space: EmbeddingSpace | None) -> None:
        """Write what became of pending events. Those that changed or were settled meanwhile are left alone."""
        ...

    async def space(self) -> EmbeddingSpace | None:
        """The space of the stored vectors, None when none is recorded."""
        ...

    async def sample(self, limit: int) -> list[VectorSample]:
        """Some embedded events; at most `limit`."""
        ...

    async def adopt_space(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """Record the space of vectors that are there already. Returns the one that is recorded, ours or another."""
        ...
