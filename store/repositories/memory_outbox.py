"""The outbox in memory: the fake beside PostgreSQL, for tests. `tests/contract` holds the two to the same behaviour."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from store.events import EmbeddingSpace, EmbeddingState, Event
from store.repositories.memory import MemoryData
from store.repositories.outbox import Backlog, Claim, ClaimedEvent, Settled


@dataclass
class MemoryOutbox:
    """See Outbox."""

    data: MemoryData = field(default_factory=MemoryData)
    claimed: set[UUID] = field(default_factory=set)
    retry_times: dict[UUID, datetime] = field(default_factory=dict)
    paused: bool = False

    @asynccontextmanager
    async def claim(self, limit: int) -> AsyncIterator[Claim]:
        """See Outbox."""
        now = datetime.now(UTC)
        events = [
            one
            for one in self._in_state(EmbeddingState.PENDING)
            if one.id not in self.claimed and self.retry_times.get(one.id, now) <= now
        ][:limit]
        held = {one.id for one in events}
        self.claimed |= held
        claim = MemoryClaim(self, events)
        try:
            yield claim
            claim.commit()
        finally:
            self.claimed -= held

    async def backlog(self) -> Backlog:
        """See Outbox."""
        pending = self._in_state(EmbeddingState.PENDING)
        failed = self._in_state(EmbeddingState.FAILED)
        return Backlog(len(pending), len(failed), pending[0].update_time if pending else None)

    async def retry_failed(self, ids: Sequence[UUID]) -> int:
        """See Outbox."""
        retried = [one for one in self._in_state(EmbeddingState.FAILED) if not ids or one.id in ids]
        for one in retried:
            self.data.stored[one.id] = replace(
                one, embedding_state=EmbeddingState.PENDING, embedding_attempts=0, embedding_error=None
            )
            self.retry_times.pop(one.id, None)
        return len(retried)

    async def is_paused(self) -> bool:
        """See Outbox."""
        return self.paused

    async def pause(self, paused: bool) -> None:
        """See Outbox."""
        self.paused = paused

    def _in_state(self, state: EmbeddingState) -> list[Event]:
        found = (one for one in self.data.stored.values() if one.embedding_state is state)
        return sorted(found, key=lambda one: (one.timestamp, one.id))


class MemoryClaim:
    """See Claim."""

    def __init__(self, outbox: MemoryOutbox, claimed: Sequence[Event]) -> None:
        self._outbox = outbox
        self._claimed = claimed
        self._settled: list[Settled] = []
        self.events = [
            ClaimedEvent(place, one.id, one.content, one.embedding_attempts) for place, one in enumerate(claimed)
        ]

    async def settle(self, settled: Sequence[Settled], space: EmbeddingSpace | None) -> None:
        """See Claim."""
        if space is not None:
            self._outbox.data.hold_space(space)
        self._settled += settled

    def commit(self) -> None:
        """Make it seen."""
        data = self._outbox.data
        for one in self._settled:
            event = self._claimed[one.event.place]
            data.stored[event.id] = replace(
                event, embedding_state=one.state, embedding_attempts=one.attempts, embedding_error=one.error
            )
            if one.embedding is not None:
                data.vectors[event.id] = one.embedding
            if one.retry_after is None:
                self._outbox.retry_times.pop(event.id, None)
            else:
                self._outbox.retry_times[event.id] = datetime.now(UTC) + timedelta(seconds=one.retry_after)
