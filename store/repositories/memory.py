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
from store.repositories.events import KnownKeys, PendingEvent, Settled, VectorSample
from store.spaces import require_same_space


@dataclass(slots=True)
class MemoryEvents:
    """An EventRepository that forgets. Its methods never wait, so each is a transaction."""

    stored: dict[UUID, Event] = field(default_factory=dict)
    vectors: dict[UUID, Vector] = field(default_factory=dict)
    requests: dict[str, UUID] = field(default_factory=dict)
    recorded: EmbeddingSpace | None = None

    async def known(self, request_ids: Sequence[str], ids: Sequence[UUID]) -> KnownKeys:
        """See EventRepository."""
        return KnownKeys(
            by_request={key: self.stored[self.requests[key]] for key in request_ids if key in self.requests},
            ids=frozenset(one for one in ids if one in self.stored),
        )

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """See EventRepository."""
        fresh = [one for one in events if one.id not in self.stored and one.request_id not in self.requests]
        if space is not None and any(one.embedding is not None for one in fresh):
            self._hold_space(space)
        now = datetime.now(UTC)
        for one in fresh:
            self.stored[one.id] = Event(
                one.id, one.timestamp, one.content, one.metadata, one.embedding_state, create_time=now, update_time=now
            )
            if one.embedding is not None:
                self.vectors[one.id] = one.embedding
            if one.request_id is not None:
                self.requests[one.request_id] = one.id
        made = {one.id for one in fresh}
        return [self.stored[one.id] if one.id in made else None for one in events]

    async def get(self, event_id: UUID) -> Event | None:
        """See EventRepository."""
        return self.stored.get(event_id)

    async def page(self, matching: EventFilter, after: Position | None, limit: int) -> list[Event]:
        """See EventRepository."""
        found = [one for one in self._matching(matching) if after is None or Position(one.timestamp, one.id) < after]
        return sorted(found, key=lambda one: (one.timestamp, one.id), reverse=True)[:limit]

    async def search(
        self, vector: Vector, space: EmbeddingSpace | None, matching: EventFilter, limit: int
    ) -> list[SearchHit]:
        """See EventRepository."""
        require_same_space(self.recorded, space, has_unrecorded_vectors=bool(self.vectors))
        hits = [
            SearchHit(one, _cosine(vector, self.vectors[one.id]))
            for one in self._matching(matching)
            if one.embedding_state is EmbeddingState.EMBEDDED
        ]
        return sorted(hits, key=lambda hit: (-hit.similarity, hit.event.id))[:limit]

    async def pending(self, limit: int) -> list[PendingEvent]:
        """See EventRepository."""
        waiting = sorted(
            (one for one in self.stored.values() if one.embedding_state is EmbeddingState.PENDING),
            key=lambda one: (one.timestamp, one.id),
        )
        return [PendingEvent(one.id, one.timestamp, one.content, one.update_time) for one in waiting[:limit]]

    async def count_pending(self) -> int:
        """See EventRepository."""
        return sum(one.embedding_state is EmbeddingState.PENDING for one in self.stored.values())

    async def settle(self, settled: Sequence[Settled], space: EmbeddingSpace | None) -> None:
        """See EventRepository."""
        if space is not None:
            self._hold_space(space)
        for one in settled:
            event = self.stored[one.pending.id]
            if event.embedding_state is EmbeddingState.PENDING and event.update_time == one.pending.update_time:
                self.stored[event.id] = replace(event, embedding_state=one.state)
                if one.embedding is not None:
                    self.vectors[event.id] = one.embedding

    async def space(self) -> EmbeddingSpace | None:
        """See EventRepository."""
        return self.recorded

    async def sample(self, limit: int) -> list[VectorSample]:
        """See EventRepository."""
        return [VectorSample(self.stored[one].content, self.vectors[one]) for one in list(self.vectors)[:limit]]

    async def adopt_space(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """See EventRepository."""
        self.recorded = self.recorded or space
        return self.recorded

    def _hold_space(self, space: EmbeddingSpace) -> None:
        require_same_space(self.recorded, space, has_unrecorded_vectors=bool(self.vectors))
        self.recorded = self.recorded or space

    def _matching(self, matching: EventFilter) -> list[Event]:
        return [
            one
            for one in self.stored.values()
            if contains(one.metadata, matching.metadata)
            and (matching.start_time is None or one.timestamp >= matching.start_time)
            and (matching.end_time is None or one.timestamp < matching.end_time)
        ]


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
