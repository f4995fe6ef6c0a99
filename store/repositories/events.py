"""What the use cases ask of the place where events are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from store.events import EmbeddingSpace, Event, EventFilter, NewEvent, Position


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """What is stored already of the keys that were asked for."""

    #: By request_id: the event that it wrote.
    by_request: dict[str, Event]
    #: Ids that are in use.
    ids: frozenset[UUID]


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
