"""What every EventRepository does when events are changed and deleted: the fake in memory and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from store.errors import EmbeddingSpaceMismatchError
from store.events import EmbeddingState, EventFilter
from store.repositories.events import EventChange
from store.repositories.search import Question
from store.use_cases.words import words_of
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import OTHER_SPACE, SPACE, new_event, open_database, pending_event

ALL = EventFilter()


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[Repositories]:
    """An empty repository: the fake, and the real one."""
    if request.param == "memory":
        yield Repositories.of_memory()
        return
    async with open_database(await new_database(migrated=True)) as database:
        yield Repositories.of_postgres(database)


async def test_a_new_content_brings_its_state_and_forgets_the_old_reasons(store: Repositories) -> None:
    failed = new_event("old", embedding_state=EmbeddingState.FAILED, embedding=None, embedding_error="odd")
    [stored] = await store.events.create([failed], None)
    assert stored is not None
    assert stored.embedding_error == "odd"

    changed = await store.events.update(failed.id, EventChange(new_event("new")), SPACE)

    assert changed is not None
    assert changed == replace(
        stored,
        content={"text": "new"},
        embedding_state=EmbeddingState.EMBEDDED,
        embedding_error=None,
        update_time=changed.update_time,
    )
    assert changed.update_time > stored.update_time
    assert await store.events.get(failed.id) == changed
    assert await store.spaces.space() == SPACE


async def test_new_metadata_leaves_everything_else(store: Repositories) -> None:
    [stored] = await store.events.create([new_event(metadata={"a": 1})], SPACE)
    assert stored is not None

    changed = await store.events.update(stored.id, EventChange(metadata={"b": [2]}), None)

    assert changed is not None
    assert changed == replace(stored, metadata={"b": [2]}, update_time=changed.update_time)
    assert [one.id for one in await store.events.page(EventFilter(metadata={"b": [2]}), None, 10)] == [stored.id]
    assert await store.events.page(EventFilter(metadata={"a": 1}), None, 10) == []


async def test_content_and_metadata_change_together(store: Repositories) -> None:
    event = new_event(metadata={"a": 1})
    await store.events.create([event], SPACE)

    changed = await store.events.update(event.id, EventChange(pending_event("new"), {}), None)

    assert changed is not None
    assert (changed.content, changed.metadata) == ({"text": "new"}, {})
    assert changed.embedding_state is EmbeddingState.PENDING


async def test_an_update_never_mixes_spaces(store: Repositories) -> None:
    event = new_event("old")
    await store.events.create([event], SPACE)

    with pytest.raises(EmbeddingSpaceMismatchError):
        await store.events.update(event.id, EventChange(new_event("new")), OTHER_SPACE)

    kept = await store.events.get(event.id)
    assert kept is not None
    assert kept.content == {"text": "old"}


async def test_what_is_not_there_is_neither_changed_nor_deleted(store: Repositories) -> None:
    assert await store.events.update(uuid4(), EventChange(metadata={}), None) is None
    assert await store.events.update(uuid4(), EventChange(new_event()), SPACE) is None
    assert not await store.events.delete(uuid4())


async def test_a_deleted_event_is_gone_and_its_keys_stay_taken(store: Repositories) -> None:
    event = new_event(request_id="r")
    await store.events.create([event, new_event()], SPACE)

    assert await store.events.delete(event.id)

    assert not await store.events.delete(event.id)
    assert await store.events.get(event.id) is None
    assert await store.events.update(event.id, EventChange(metadata={}), None) is None
    assert len(await store.events.page(ALL, None, 10)) == 1
    assert await store.events.create([new_event(id=event.id)], SPACE) == [None]
    assert await store.events.create([new_event(request_id="r")], SPACE) == [None]
    for known in (await store.events.known(["r"], []), await store.events.known([], [event.id])):
        assert known.by_request == {}
        assert known.ids == frozenset()
        assert event.id in known.deleted
    assert "r" in (await store.events.known(["r"], [])).deleted


async def test_the_words_of_an_event_are_counted_as_it_comes_changes_and_goes(store: Repositories) -> None:
    event = new_event("red apple", words=words_of("red apple"))
    await store.events.create([event], SPACE)
    await store.events.update(
        event.id, EventChange(new_event("blue ocean wave", words=words_of("blue ocean wave"))), SPACE
    )

    async def found(word: str) -> list[UUID]:
        candidates = await store.search.candidates(Question(words_of(word).terms), ALL, 10)
        return [one.id for one in candidates.found]

    assert await found("apple") == []
    assert await found("ocean") == [event.id]
    await store.events.delete(event.id)
    assert await found("ocean") == []


async def test_a_page_is_filtered_by_embedding_state(store: Repositories) -> None:
    waiting = pending_event()
    await store.events.create([new_event(), waiting], SPACE)

    found = await store.events.page(EventFilter(embedding_state=EmbeddingState.PENDING), None, 10)

    assert [one.id for one in found] == [waiting.id]


async def test_of_updates_and_a_delete_at_once_nothing_is_left_but_what_they_say(store: Repositories) -> None:
    event = new_event()
    await store.events.create([event], SPACE)

    changes = asyncio.gather(
        *(store.events.update(event.id, EventChange(new_event(f"text {n}"), {"n": n}), SPACE) for n in range(6))
    )
    deleted = await store.events.delete(event.id)
    updates = await changes

    assert deleted
    for n, changed in enumerate(updates):
        assert changed is None or (changed.content, changed.metadata) == ({"text": f"text {n}"}, {"n": n})
    assert await store.events.get(event.id) is None


async def test_of_updates_at_once_all_are_written_and_each_as_a_whole(store: Repositories) -> None:
    event = new_event()
    await store.events.create([event], SPACE)

    changes = await asyncio.gather(
        *(store.events.update(event.id, EventChange(new_event(f"text {n}"), {"n": n}), SPACE) for n in range(6))
    )

    times = [one.update_time for one in changes if one is not None]
    assert len(set(times)) == 6
    kept = await store.events.get(event.id)
    assert kept in changes
    assert kept is not None
    assert kept.content == {"text": f"text {kept.metadata['n']}"}
    assert kept.update_time == max(times)
