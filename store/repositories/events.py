"""What the use cases ask of the place where events are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from store.events import EmbeddingSpace, Event, EventFilter, Json, NewEvent, Position

#: Most bytes of stored events, as JSON, that one call gets back for its request ids.
REPEATED_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """What is stored already of the keys that were asked for."""

    #: By request_id: the event that it wrote.
    by_request: dict[str, Event]
    #: Ids that are in use.
    ids: frozenset[UUID]
    #: Request ids and ids of events that were deleted, and stay taken.
    deleted: frozenset[str | UUID] = frozenset()
    #: Request ids that wrote an event which is stored and did not fit.
    unread: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class EventChange:
    """What an update writes; None leaves a part as it is."""

    #: Content, words, embedding and its state are taken from here; they belong together.
    content: NewEvent | None = None
    metadata: Json | None = None


def within_room(sizes: Mapping[str, int], asked: Mapping[str, int], room: int | None) -> list[str]:
    """The request ids of events that fit into `room`, in the order of `asked`.

    `sizes` are the bytes of the events, `asked` how often each is wanted.
    """
    fitting: list[str] = []
    used = 0
    for key, times in asked.items():
        if key not in sizes:
            continue
        needed = sizes[key] * times
        if room is None or used + needed <= room or (not fitting and times == 1):
            fitting.append(key)
            used += needed
    return fitting


class EventRepository(Protocol):
    """Keeps events. Every method may raise DatabaseUnavailableError, DeadlineExceededError, ResourceExhaustedError.

    Vectors of different models never get mixed: every method that writes or compares vectors that the embedder made
    takes the space that they are of, and checks it in the same transaction. It raises EmbeddingSpaceMismatchError for
    a space other than that of the stored vectors, and EmbeddingSpaceUnknownError when there are vectors whose model
    nobody recorded. The first write records the space; of several at once one wins and the others are compared.
    """

    async def known(
        self, request_ids: Sequence[str], ids: Sequence[UUID], room: int | None = REPEATED_BYTES
    ) -> KnownKeys:
        """What is stored under these keys.

        Events of `by_request` have at most `room` bytes of content and metadata, each as often as its request_id comes
        in `request_ids`; one that comes alone always fits. With None they come without content and metadata.
        """
        ...

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """Store events, all in one transaction. Ids and request ids must be distinct.

        Returns the stored event for each, or None when its id or request_id turned out to be taken: ask `known`.
        `space` is None exactly when no event has a vector. Raises TimesRefusedError when events are of months that
        cannot have a partition.
        """
        ...

    async def update(self, event_id: UUID, change: EventChange, space: EmbeddingSpace | None) -> Event | None:
        """Change an event and return it as it is now; None when there is none. `update_time` always grows.

        Of several updates at once the last one wins, and what belongs together stays together. Raises AbortedError
        when others keep getting in the way, or hold the event for long: the backfill while it embeds it.
        """
        ...

    async def delete(self, event_id: UUID) -> bool:
        """Remove an event and keep its id and request_id as taken. False when there is none. Raises as `update`."""
        ...

    async def get(self, event_id: UUID) -> Event | None:
        """The event with this id."""
        ...

    async def page(self, matching: EventFilter, after: Position | None, limit: int) -> list[Event]:
        """Events of the filter, latest position first, those before `after` only; at most `limit`."""
        ...
