"""What the backfill and its operators ask of the place where events are kept."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from store.events import EmbeddingSpace, EmbeddingState, Json, Vector


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event that waits for its embedding."""

    #: Its place in the claim.
    place: int
    id: UUID
    content: Json
    #: How many times it was tried in vain.
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of a claimed event."""

    event: ClaimedEvent
    #: PENDING means that it is to be tried again.
    state: EmbeddingState
    #: Present exactly when the state is EMBEDDED.
    embedding: Vector | None = None
    #: Tries in vain, this one included.
    attempts: int = 0
    #: Why it is not embedded.
    error: str | None = None
    #: Seconds until it may be claimed again; None is at once.
    retry_after: float | None = None


class Claim(Protocol):
    """Events that nobody else changes or claims as long as we hold them."""

    @property
    def events(self) -> Sequence[ClaimedEvent]:
        """Oldest first."""
        ...

    async def settle(self, settled: Sequence[Settled], space: EmbeddingSpace | None) -> None:
        """Write what becomes of them; seen by others when the claim ends. `space` is that of the vectors."""
        ...


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, and what waits no more."""

    pending: int
    failed: int
    #: When the oldest pending event was last changed; None when none is pending.
    oldest_pending_time: datetime | None


class Outbox(Protocol):
    """Keeps the events that wait for their embedding. Raises as EventRepository does."""

    def claim(self, limit: int) -> AbstractAsyncContextManager[Claim]:
        """Hold up to `limit` pending events that may be tried now, oldest first, to the end of the block.

        Leaves out those that another claim holds. An exception in the block undoes what it settled.
        """
        ...

    async def backlog(self) -> Backlog:
        """How much waits."""
        ...

    async def retry_failed(self, ids: Sequence[UUID]) -> int:
        """Make FAILED events PENDING, all of them when there are no `ids`, and return how many there were."""
        ...

    async def is_paused(self) -> bool:
        """Whether an operator paused the backfill of all stores."""
        ...

    async def pause(self, paused: bool) -> None:
        """Pause it, or end the pause."""
        ...
