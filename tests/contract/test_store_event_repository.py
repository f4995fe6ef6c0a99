"""What every EventRepository does: the fake in memory and PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import pytest_asyncio

from store.errors import EmbeddingSpaceMismatchError
from store.events import EmbeddingState, EventFilter, Position
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import (
    OTHER_SPACE,
    SPACE,
    nearest,
    new_event,
    open_database,
    pending_event,
    text_vector,
)

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ALL = EventFilter()


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[Repositories]:
    """An empty repository: the fake, and the real one."""
    if request.param == "memory":
        yield Repositories.of_memory()
        return
    async with open_database(await new_database(migrated=True)) as database:
        yield Repositories.of_postgres(database)


async def test_an_event_comes_back_as_it_was_stored(store: Repositories) -> None:
    content = {
        "text": "𐍈 “quoted” \\ 'text' שלום 🚀",
        "n": 1,
        "x": 0.1,
        "t": True,
        "z": None,
        "deep": [{"a": [[]]}, {}],
    }
    event = new_event(content=content, metadata={"k": [1, "2", None]}, timestamp=NOON)

    [stored] = await store.events.create([event], SPACE)

    assert stored is not None
    assert stored == await store.events.get(event.id)
    assert (stored.id, stored.timestamp, stored.content, stored.metadata) == (
        event.id, NOON, content, {"k": [1, "2", None]},
    )  # fmt: skip
    assert stored.embedding_state is EmbeddingState.EMBEDDED
    assert stored.create_time == stored.update_time


async def test_an_unknown_id_is_nothing(store: Repositories) -> None:
    assert await store.events.get(uuid4()) is None


async def test_a_taken_id_is_not_stored_again(store: Repositories) -> None:
    event = new_event()
    await store.events.create([event], SPACE)

    results = await store.events.create([new_event("another", id=event.id, timestamp=NOON), new_event("third")], SPACE)

    assert results[0] is None
    assert results[1] is not None
    kept = await store.events.get(event.id)
    assert kept is not None
    assert kept.content == event.content


async def test_a_taken_request_id_is_not_stored_again(store: Repositories) -> None:
    await store.events.create([new_event(request_id="r")], SPACE)

    assert await store.events.create([new_event("another", request_id="r")], SPACE) == [None]
    assert len(await store.events.page(ALL, None, 10)) == 1


async def test_known_finds_events_by_request_and_ids_in_use(store: Repositories) -> None:
    named, unnamed = new_event(request_id="r"), new_event()
    [stored, _] = await store.events.create([named, unnamed], SPACE)

    known = await store.events.known(["r", "never seen"], [unnamed.id, uuid4()])

    assert known.by_request == {"r": stored}
    assert unnamed.id in known.ids
    assert not (await store.events.known([], [])).ids


async def test_known_reads_no_more_events_than_there_is_room_for(store: Repositories) -> None:
    large = [new_event("x" * 1000, request_id=f"r{n}") for n in range(4)]
    await store.events.create(large, SPACE)
    asked = ["r3", "r1", "r1", "r2", "new"]

    known = await store.events.known(asked, [large[0].id], 2500)
    assert set(known.by_request) == {"r3", "r2"}
    assert known.unread == {"r1"}
    assert {one.id for one in large} == known.ids | {large[0].id}

    assert set((await store.events.known(["r0"], [], 10)).by_request) == {"r0"}  # one alone is always answered
    assert (await store.events.known(["r0", "r0"], [], 10)).unread == {"r0"}

    without = await store.events.known(asked, [], None)
    assert {key: one.content for key, one in without.by_request.items()} == {"r1": {}, "r2": {}, "r3": {}}
    assert without.unread == frozenset()


async def test_pages_follow_each_other_newest_first_without_gap_or_repetition(store: Repositories) -> None:
    ids = sorted(uuid4() for _ in range(3))
    same_time = [new_event(id=one, timestamp=NOON) for one in ids]
    newer, older = new_event(timestamp=NOON + timedelta(microseconds=1)), new_event(timestamp=NOON - timedelta(days=1))
    await store.events.create([older, *same_time, newer], SPACE)

    found: list[UUID] = []
    after: Position | None = None
    while page := await store.events.page(ALL, after, 2):
        found += [one.id for one in page]
        after = Position(page[-1].timestamp, page[-1].id)

    assert found == [newer.id, *reversed(ids), older.id]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"a": 1}, {"plain", "more"}),
        ({"a": 1.0}, {"plain", "more"}),
        ({"a": True}, set()),
        ({"a": "1"}, {"text"}),
        ({"a": None}, {"null"}),
        ({"b": {"c": [2]}}, {"more"}),
        ({"b": {"c": [3, 1]}}, {"more"}),
        ({"b": {"c": 2}}, set()),
        ({"b": {}}, {"more"}),
        ({"a": 1, "b": {}}, {"more"}),
        ({"o'b\"rien": "🚀"}, {"odd"}),
    ],
)
async def test_a_metadata_filter_is_containment(store: Repositories, wanted: dict[str, Any], found: set[str]) -> None:
    rows: dict[str, dict[str, Any]] = {
        "plain": {"a": 1},
        "more": {"a": 1, "b": {"c": [1, 2, 3], "d": 4}},
        "text": {"a": "1"},
        "null": {"a": None},
        "odd": {"o'b\"rien": "🚀"},
    }
    await store.events.create([new_event(name, metadata=metadata) for name, metadata in rows.items()], SPACE)

    listed = await store.events.page(EventFilter(metadata=wanted), None, 10)
    hits = await nearest(store.search, text_vector("plain"), SPACE, EventFilter(metadata=wanted), 10)

    assert {one.content["text"] for one in listed} == found
    assert {hit.event.content["text"] for hit in hits} == found


async def test_a_time_range_includes_its_start_and_not_its_end(store: Repositories) -> None:
    times = [NOON, NOON + timedelta(microseconds=1), NOON + timedelta(microseconds=2)]
    await store.events.create([new_event(timestamp=one) for one in times], SPACE)
    matching = EventFilter(start_time=times[0], end_time=times[2])

    listed = await store.events.page(matching, None, 10)
    hits = await nearest(store.search, text_vector("something"), SPACE, matching, 10)

    assert [one.timestamp for one in listed] == [times[1], times[0]]
    assert {hit.event.timestamp for hit in hits} == {times[0], times[1]}


async def test_search_returns_the_nearest_first_with_their_cosine(store: Repositories) -> None:
    texts = ["red apple pie", "red apple", "blue ocean wave"]
    await store.events.create([new_event(text) for text in texts], SPACE)
    query = text_vector("red apple")

    hits = await nearest(store.search, query, SPACE, ALL, 2)

    assert [hit.event.content["text"] for hit in hits] == ["red apple", "red apple pie"]
    for hit in hits:
        assert hit.similarity == pytest.approx(float(np.dot(query, text_vector(hit.event.content["text"]))), abs=1e-5)


async def test_search_sees_embedded_events_only(store: Repositories) -> None:
    await store.events.create(
        [
            new_event("seen"),
            pending_event("pending"),
            new_event("skipped", embedding_state=EmbeddingState.SKIPPED, embedding=None),
            new_event("failed", embedding_state=EmbeddingState.FAILED, embedding=None),
        ],
        SPACE,
    )

    hits = await nearest(store.search, text_vector("pending"), SPACE, ALL, 10)

    assert [hit.event.content["text"] for hit in hits] == ["seen"]


async def test_a_search_of_nothing_finds_nothing(store: Repositories) -> None:
    assert await nearest(store.search, text_vector("anything"), SPACE, ALL, 10) == []


async def test_the_first_write_records_the_space(store: Repositories) -> None:
    assert await store.spaces.space() is None
    await store.events.create([pending_event()], None)
    assert await store.spaces.space() is None

    await store.events.create([new_event()], SPACE)

    assert await store.spaces.space() == SPACE


async def test_vectors_of_another_space_are_not_stored(store: Repositories) -> None:
    await store.events.create([new_event()], SPACE)
    stranger = new_event()

    with pytest.raises(EmbeddingSpaceMismatchError) as caught:
        await store.events.create([pending_event(), stranger], OTHER_SPACE)

    assert SPACE.model_name in caught.value.message
    assert OTHER_SPACE.model_name in caught.value.message
    assert await store.events.get(stranger.id) is None
    assert len(await store.events.page(ALL, None, 10)) == 1


async def test_vectors_of_another_space_are_not_compared(store: Repositories) -> None:
    await store.events.create([new_event()], SPACE)

    with pytest.raises(EmbeddingSpaceMismatchError):
        await nearest(store.search, text_vector("x"), OTHER_SPACE, ALL, 10)
    assert len(await nearest(store.search, text_vector("x"), None, ALL, 10)) == 1


async def test_an_event_without_a_vector_is_stored_whatever_the_space(store: Repositories) -> None:
    await store.events.create([new_event()], SPACE)

    assert await store.events.create([pending_event()], OTHER_SPACE) != [None]


async def test_a_sample_has_contents_and_vectors(store: Repositories) -> None:
    await store.events.create([new_event("one"), new_event("two"), pending_event("three")], SPACE)

    sample = await store.spaces.sample(20)

    assert {one.content["text"] for one in sample} == {"one", "two"}
    for one in sample:
        assert np.allclose(one.embedding, text_vector(one.content["text"]), atol=1e-6)
    assert len(await store.spaces.sample(1)) == 1


async def test_adopting_a_space_keeps_one_that_is_recorded(store: Repositories) -> None:
    assert await store.spaces.adopt_space(SPACE) == SPACE
    assert await store.spaces.adopt_space(OTHER_SPACE) == SPACE
