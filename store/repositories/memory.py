"""Events in memory: the fake beside PostgreSQL, for tests. `tests/contract` holds the two to the same behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np

from store.events import (
    EmbeddingSpace,
    EmbeddingState,
    Event,
    EventFilter,
    NewEvent,
    Position,
    SearchHit,
    Vector,
)
from store.repositories.events import KnownKeys
from store.repositories.outbox import PendingEvent, Settled
from store.repositories.spaces import VectorSample
from store.spaces import require_same_space


@dataclass(slots=True)
class MemoryData:
    """What the fakes share, and forget. Their methods never wait, so each is a transaction."""

    stored: dict[UUID, Event] = field(default_factory=dict)
    vectors: dict[UUID, Vector] = field(default_factory=dict)
    requests: dict[str, UUID] = field(default_factory=dict)
    recorded: EmbeddingSpace | None = None

    def hold_space(self, space: EmbeddingSpace) -> None:
        """Check that vectors are of the recorded space; record it when they are the first."""
        require_same_space(self.recorded, space, has_unrecorded_vectors=bool(self.vectors))
        self.recorded = self.recorded or space

    def matching(self, matching: EventFilter) -> list[Event]:
        """Events within a filter."""
        return [
            one
            for one in self.stored.values()
            if contains(one.metadata, matching.metadata)
            and (matching.start_time is None or one.timestamp >= matching.start_time)
            and (matching.end_time is None or one.timestamp < matching.end_time)
        ]


@dataclass
class MemoryEvents:
    """See EventRepository."""

    data: MemoryData = field(default_factory=MemoryData)

    async def known(self, request_ids: Sequence[str], ids: Sequence[UUID]) -> KnownKeys:
        """See EventRepository."""
        return KnownKeys(
            by_request={
                key: self.data.stored[self.data.requests[key]] for key in request_ids if key in self.data.requests
            },
            ids=frozenset(one for one in ids if one in self.data.stored),
        )

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """See EventRepository."""
        fresh = [one for one in events if one.id not in self.data.stored and one.request_id not in self.data.requests]
        if space is not None and any(one.embedding is not None for one in fresh):
            self.data.hold_space(space)
        now = datetime.now(UTC)
        for one in fresh:
            self.data.stored[one.id] = Event(
                one.id, one.timestamp, one.content, one.metadata, one.embedding_state, create_time=now, update_time=now
            )
            if one.embedding is not None:
                self.data.vectors[one.id] = one.embedding
            if one.request_id is not None:
                self.data.requests[one.request_id] = one.id
        made = {one.id for one in fresh}
        return [self.data.stored[one.id] if one.id in made else None for one in events]

    async def get(self, event_id: UUID) -> Event | None:
        """See EventRepository."""
        return self.data.stored.get(event_id)

    async def page(self, matching: EventFilter, after: Position | None, limit: int) -> list[Event]:
        """See EventRepository."""
        found = [
            one for one in self.data.matching(matching) if after is None or Position(one.timestamp, one.id) < after
        ]
        return sorted(found, key=lambda one: (one.timestamp, one.id), reverse=True)[:limit]


@dataclass
class MemorySearch:
    """See SearchRepository."""

    data: MemoryData = field(default_factory=MemoryData)

    async def nearest(
        self, vector: Vector, space: EmbeddingSpace | None, matching: EventFilter, limit: int
    ) -> list[SearchHit]:
        """See SearchRepository."""
        require_same_space(self.data.recorded, space, has_unrecorded_vectors=bool(self.data.vectors))
        hits = [
            SearchHit(one, _cosine(vector, self.data.vectors[one.id]))
            for one in self.data.matching(matching)
            if one.embedding_state is EmbeddingState.EMBEDDED
        ]
        return sorted(hits, key=lambda hit: (-hit.similarity, hit.event.id))[:limit]


@dataclass
class MemoryOutbox:
    """See Outbox."""

    data: MemoryData = field(default_factory=MemoryData)

    async def pending(self, limit: int) -> list[PendingEvent]:
        """See Outbox."""
        waiting = sorted(
            (one for one in self.data.stored.values() if one.embedding_state is EmbeddingState.PENDING),
            key=lambda one: (one.timestamp, one.id),
        )
        return [PendingEvent(one.id, one.timestamp, one.content, one.update_time) for one in waiting[:limit]]

    async def count_pending(self) -> int:
        """See Outbox."""
        return sum(one.embedding_state is EmbeddingState.PENDING for one in self.data.stored.values())

    async def settle(self, settled: Sequence[Settled], space: EmbeddingSpace | None) -> None:
        """See Outbox."""
        if space is not None:
            self.data.hold_space(space)
        for one in settled:
            event = self.data.stored[one.pending.id]
            if event.embedding_state is EmbeddingState.PENDING and event.update_time == one.pending.update_time:
                self.data.stored[event.id] = replace(event, embedding_state=one.state)
                if one.embedding is not None:
                    self.data.vectors[event.id] = one.embedding


@dataclass
class MemorySpaces:
    """See SpaceRepository."""

    data: MemoryData = field(default_factory=MemoryData)

    async def space(self) -> EmbeddingSpace | None:
        """See SpaceRepository."""
        return self.data.recorded

    async def sample(self, limit: int) -> list[VectorSample]:
        """See SpaceRepository."""
        return [
            VectorSample(self.data.stored[one].content, self.data.vectors[one])
            for one in list(self.data.vectors)[:limit]
        ]

    async def adopt_space(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """See SpaceRepository."""
        self.data.recorded = self.data.recorded or space
        return self.data.recorded


def contains(whole: Any, part: Any) -> bool:
    """What `jsonb @>` says, below the top level."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(one, wanted) for one in whole) for wanted in part)
    # In Python True == 1; in JSON they differ.
    return isinstance(whole, bool) == isinstance(part, bool) and bool(whole == part)


def _cosine(one: Vector, other: Vector) -> float:
    wide, wide_other = one.astype(np.float64), other.astype(np.float64)
    return float(np.dot(wide, wide_other) / (np.linalg.norm(wide) * np.linalg.norm(wide_other)))
