"""Events in memory: the fake beside PostgreSQL, for tests. `tests/contract` holds the two to the same behaviour."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from store.events import (
    EmbeddingSpace,
    Event,
    EventFilter,
    NewEvent,
    Position,
    Vector,
    Words,
)
from store.repositories.events import REPEATED_BYTES, EventChange, KnownKeys, within_room
from store.repositories.spaces import VectorSample
from store.spaces import require_same_space


@dataclass(slots=True)
class MemoryData:
    """What the fakes share, and forget. Their methods never wait, so each is a transaction."""

    stored: dict[UUID, Event] = field(default_factory=dict)
    vectors: dict[UUID, Vector] = field(default_factory=dict)
    #: As `vectors`, of all events.
    words: dict[UUID, Words] = field(default_factory=dict)
    requests: dict[str, UUID] = field(default_factory=dict)
    deleted: set[UUID] = field(default_factory=set)
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
            and (matching.embedding_state is None or one.embedding_state is matching.embedding_state)
        ]

    def set_searchable(self, event: NewEvent) -> None:
        """Keep what an event is found by."""
        self.words[event.id] = event.words
        self.vectors.pop(event.id, None)
        if event.embedding is not None:
            self.vectors[event.id] = event.embedding


@dataclass
class MemoryEvents:
    """See EventRepository."""

    data: MemoryData = field(default_factory=MemoryData)

    async def known(
        self, request_ids: Sequence[str], ids: Sequence[UUID], room: int | None = REPEATED_BYTES
    ) -> KnownKeys:
        """See EventRepository."""
        written = {key: self.data.requests[key] for key in request_ids if key in self.data.requests}
        there = {key: self.data.stored[one] for key, one in written.items() if one in self.data.stored}
        fitting = within_room({key: _size(one) for key, one in there.items()}, Counter(request_ids), room)
        if room is None:
            there = {key: replace(one, content={}, metadata={}) for key, one in there.items()}
        return KnownKeys(
            by_request={key: there[key] for key in fitting},
            unread=frozenset(there.keys() - fitting),
            ids=frozenset(one for one in (*ids, *written.values()) if one in self.data.stored),
            deleted=frozenset(
                [key for key, one in written.items() if one in self.data.deleted]
                + [one for one in (*ids, *written.values()) if one in self.data.deleted]
            ),
        )

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """See EventRepository."""
        taken = self.data.stored.keys() | self.data.deleted
        fresh = [one for one in events if one.id not in taken and one.request_id not in self.data.requests]
        if space is not None and any(one.embedding is not None for one in fresh):
            self.data.hold_space(space)
        now = datetime.now(UTC)
        for one in fresh:
            self.data.stored[one.id] = Event(
                one.id, one.timestamp, one.content, one.metadata, one.embedding_state, now, now, one.embedding_error
            )
            self.data.set_searchable(one)
            if one.request_id is not None:
                self.data.requests[one.request_id] = one.id
        made = {one.id for one in fresh}
        return [self.data.stored[one.id] if one.id in made else None for one in events]

    async def update(self, event_id: UUID, change: EventChange, space: EmbeddingSpace | None) -> Event | None:
        """See EventRepository."""
        event = self.data.stored.get(event_id)
        if event is None:
            return None
        event = replace(event, update_time=max(datetime.now(UTC), event.update_time + timedelta(microseconds=1)))
        if change.content is not None:
            if change.content.embedding is not None and space is not None:
                self.data.hold_space(space)
            event = replace(
                event,
                content=change.content.content,
                embedding_state=change.content.embedding_state,
                embedding_error=change.content.embedding_error,
                embedding_attempts=0,
            )
            self.data.set_searchable(replace(change.content, id=event_id))
        if change.metadata is not None:
            event = replace(event, metadata=change.metadata)
        self.data.stored[event_id] = event
        return event

    async def delete(self, event_id: UUID) -> bool:
        """See EventRepository."""
        if self.data.stored.pop(event_id, None) is None:
            return False
        self.data.vectors.pop(event_id, None)
        self.data.words.pop(event_id, None)
        self.data.deleted.add(event_id)
        return True

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


def _size(event: Event) -> int:
    return sum(len(json.dumps(part, ensure_ascii=False).encode()) for part in (event.content, event.metadata))


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
