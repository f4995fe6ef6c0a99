"""What the backfill asks of the place where events are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from store.events import EmbeddingSpace, EmbeddingState, Json, Vector


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


class Outbox(Protocol):
    """Keeps the events that wait for their embedding. Raises as EventRepository does."""

    async def pending(self, limit: int) -> list[PendingEvent]:
        """Events that wait for their embedding, oldest first."""
        ...

    async def count_pending(self) -> int:
        """How many events wait for their embedding."""
        ...

    async def settle(self, settled: Sequence[Settled], space: EmbeddingSpace | None) -> None:
        """Write what became of pending events. Those that changed or were settled meanwhile are left alone."""
        ...
