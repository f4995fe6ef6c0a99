"""Storing events when others write the same keys at the same time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from servicekit.errors import ResourceExhaustedError, TrimemError, UnavailableError
from store.errors import EventAlreadyExistsError
from store.events import EmbeddingSpace, Event, EventDraft, NewEvent
from store.repositories.events import REPEATED_BYTES
from store.repositories.memory import MemoryEvents, MemorySpaces
from store.use_cases.create_events import CreateEvents, Stored
from store.use_cases.embed_events import EmbedEvents
from store.use_cases.embedder import EmbeddedTexts, InputKind
from store.use_cases.embedding import TextEmbedding
from store.use_cases.event_rules import accept_draft
from tests.fixtures_store import DIMENSION


@dataclass(slots=True)
class Contended(MemoryEvents):
    """Somebody else stores `theirs` right before our first write."""

    theirs: list[NewEvent] = field(default_factory=list)

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """See EventRepository."""
        if self.theirs:
            await MemoryEvents.create(self, self.theirs, None)
            self.theirs = []
        return await MemoryEvents.create(self, events, space)


class Haunted(MemoryEvents):
    """Keys are always taken, and nobody knows by whom."""

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """See EventRepository."""
        return [None] * len(events)


class NoEmbedder:
    """Must not be asked."""

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """See Embedder."""
        raise AssertionError(texts)


def creating(events: MemoryEvents) -> CreateEvents:
    """CreateEvents that embeds nothing."""
    embedding = TextEmbedding(NoEmbedder(), DIMENSION)
    return CreateEvents(events, EmbedEvents(embedding, MemorySpaces(events.data), automatic=False))


def draft(**fields: Any) -> EventDraft:
    """A good event."""
    return EventDraft(content={"text": "ours"}, **fields)


def theirs(draft_: EventDraft) -> NewEvent:
    """What somebody else stores: with the keys of a draft of ours."""
    return accept_draft(EventDraft({"text": "theirs"}, id=draft_.id, request_id=draft_.request_id), datetime.now(UTC))


async def test_a_request_id_that_was_taken_meanwhile_gives_the_event_of_the_other() -> None:
    ours = draft(request_id="r")
    other = theirs(ours)

    stored = await creating(Contended(theirs=[other])).one(ours)

    assert stored.id == other.id
    assert stored.content == {"text": "theirs"}


async def test_an_id_that_was_taken_meanwhile_already_exists() -> None:
    ours = draft(id=str(uuid4()))

    with pytest.raises(EventAlreadyExistsError):
        await creating(Contended(theirs=[theirs(ours)])).one(ours)


async def test_only_the_taken_events_of_a_batch_are_looked_at_again() -> None:
    by_request, by_id, free = draft(request_id="r"), draft(id=str(uuid4())), draft()
    events = Contended(theirs=[theirs(by_request), theirs(by_id)])

    results = await creating(events).batch([by_request, by_id, free, by_request])

    assert isinstance(results[0], Stored)
    assert results[0].event.content == {"text": "theirs"}
    assert results[0].is_repeated
    assert isinstance(results[1], EventAlreadyExistsError)
    assert isinstance(results[2], Stored)
    assert not results[2].is_repeated
    assert results[3] == results[0]
    assert len(events.data.stored) == 3


async def test_a_thousand_equal_requests_of_a_batch_write_once() -> None:
    events = MemoryEvents()
    identity = str(uuid4())

    same_request = await creating(events).batch([draft(request_id="r")] * 1000)
    same_id = await creating(events).batch([draft(id=identity)] * 1000)

    assert len({one.event.id for one in same_request if isinstance(one, Stored)}) == 1
    assert sum(isinstance(one, Stored) and one.is_repeated for one in same_request) == 999
    assert sum(isinstance(one, TrimemError) for one in same_id) == 999
    assert len(events.data.stored) == 2


async def test_keys_that_stay_taken_end_the_attempts() -> None:
    with pytest.raises(UnavailableError):
        await creating(Haunted()).one(draft(request_id="r"))


async def test_repeated_events_that_fill_the_memory_are_refused_one_by_one() -> None:
    events = MemoryEvents()
    text = "x" * (REPEATED_BYTES // 2)
    stored = [accept_draft(draft(request_id=f"r{n}"), datetime.now(UTC)) for n in range(3)]
    await events.create([replace(one, content={"text": text}) for one in stored], None)

    results = await creating(events).batch([draft(request_id=f"r{n}") for n in range(4)])

    assert [type(one) for one in results] == [Stored, ResourceExhaustedError, ResourceExhaustedError, Stored]
    assert [one.is_repeated for one in results if isinstance(one, Stored)] == [True, False]
