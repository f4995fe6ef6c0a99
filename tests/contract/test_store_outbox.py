"""What every Outbox does: the fake in memory and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from store.errors import EmbeddingSpaceMismatchError
from store.events import EmbeddingState, Event, EventFilter
from store.repositories.outbox import Settled
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

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PENDING, FAILED, EMBEDDED = EmbeddingState.PENDING, EmbeddingState.FAILED, EmbeddingState.EMBEDDED


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[Repositories]:
    """An empty store: the fake, and the real one."""
    if request.param == "memory":
        yield Repositories.of_memory()
        return
    async with open_database(await new_database(migrated=True)) as database:
        yield Repositories.of_postgres(database)


async def claimed_texts(store: Repositories, limit: int = 10) -> list[str]:
    """What a claim that does nothing holds."""
    async with store.outbox.claim(limit) as claim:
        return [one.content["text"] for one in claim.events]


async def only_event(store: Repositories) -> Event:
    """The one that there is."""
    [event] = await store.events.page(EventFilter(), None, 2)
    return event


async def test_a_claim_has_pending_events_oldest_first(store: Repositories) -> None:
    late, early = pending_event("late", timestamp=NOON), pending_event("early", timestamp=NOON - timedelta(days=1))
    await store.events.create([late, early, new_event("embedded")], SPACE)

    assert await claimed_texts(store) == ["early", "late"]
    assert await claimed_texts(store, 1) == ["early"]


async def test_two_claims_at_once_never_hold_the_same_event(store: Repositories) -> None:
    await store.events.create([pending_event(f"text {number}") for number in range(50)], None)

    async def take() -> list[str]:
        async with store.outbox.claim(10) as claim:
            await asyncio.sleep(0)
            await claim.settle([Settled(one, EMBEDDED, text_vector("x")) for one in claim.events], SPACE)
            return [str(one.id) for one in claim.events]

    async with store.outbox.claim(10) as first, store.outbox.claim(10) as second:
        held = [one.id for claim in (first, second) for one in claim.events]
        taken = [one for ids in await asyncio.gather(*(take() for _ in range(3))) for one in ids]

    assert len(set(held)) == 20
    assert len(taken) == len(set(taken)) == 30
    assert not set(taken) & {str(one) for one in held}
    assert (await store.outbox.backlog()).pending == 20


async def test_what_became_of_events_is_seen_after_the_claim(store: Repositories) -> None:
    await store.events.create([pending_event(text) for text in ("late", "odd", "empty", "again")], None)

    async with store.outbox.claim(10) as claim:
        by_text = {one.content["text"]: one for one in claim.events}
        await claim.settle(
            [
                Settled(by_text["late"], EMBEDDED, text_vector("late")),
                Settled(by_text["odd"], FAILED, attempts=1, error="is odd"),
                Settled(by_text["empty"], EmbeddingState.SKIPPED),
                Settled(by_text["again"], PENDING, attempts=2, error="later", retry_after=3600),
            ],
            SPACE,
        )

    assert await store.spaces.space() == SPACE
    [hit] = await nearest(store.search, text_vector("late"), SPACE, EventFilter(), 10)
    assert hit.event.content == {"text": "late"}
    assert hit.event.update_time == hit.event.create_time
    seen = {
        one.content["text"]: (one.embedding_state, one.embedding_attempts, one.embedding_error)
        for one in await store.events.page(EventFilter(), None, 10)
    }
    assert seen == {
        "late": (EMBEDDED, 0, None),
        "odd": (FAILED, 1, "is odd"),
        "empty": (EmbeddingState.SKIPPED, 0, None),
        "again": (PENDING, 2, "later"),
    }
    backlog = await store.outbox.backlog()
    assert (backlog.pending, backlog.failed) == (1, 1)
    assert await claimed_texts(store) == []  # not before its time


async def test_an_event_whose_time_has_come_is_claimed_again(store: Repositories) -> None:
    await store.events.create([pending_event("again")], None)
    async with store.outbox.claim(1) as claim:
        await claim.settle([Settled(claim.events[0], PENDING, attempts=1, retry_after=0)], None)

    async with store.outbox.claim(1) as claim:
        assert [one.attempts for one in claim.events] == [1]


async def test_an_exception_undoes_what_a_claim_settled(store: Repositories) -> None:
    await store.events.create([pending_event("late")], None)

    async def fail() -> None:
        async with store.outbox.claim(1) as claim:
            await claim.settle([Settled(claim.events[0], FAILED, attempts=1)], None)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()

    assert await claimed_texts(store) == ["late"]


async def test_pending_events_are_not_settled_with_vectors_of_another_space(store: Repositories) -> None:
    await store.events.create([new_event(), pending_event("late")], SPACE)

    with pytest.raises(EmbeddingSpaceMismatchError):
        async with store.outbox.claim(1) as claim:
            await claim.settle([Settled(claim.events[0], EMBEDDED, text_vector("late"))], OTHER_SPACE)

    assert await claimed_texts(store) == ["late"]


async def test_the_backlog_says_since_when_the_oldest_event_waits(store: Repositories) -> None:
    empty = await store.outbox.backlog()
    await store.events.create([pending_event(timestamp=NOON)], None)

    backlog = await store.outbox.backlog()

    assert (empty.pending, empty.failed, empty.oldest_pending_time) == (0, 0, None)
    assert (backlog.pending, backlog.oldest_pending_time) == (1, (await only_event(store)).update_time)


async def test_failed_events_are_tried_again_with_no_attempts_counted(store: Repositories) -> None:
    failed = [
        new_event(f"text {number}", embedding=None, embedding_state=FAILED, embedding_error="is odd")
        for number in range(3)
    ]
    await store.events.create([*failed, new_event("fine")], SPACE)

    assert await store.outbox.retry_failed([failed[0].id]) == 1
    assert await claimed_texts(store) == ["text 0"]
    assert await store.outbox.retry_failed([failed[0].id]) == 0
    assert await store.outbox.retry_failed([]) == 2
    assert sorted(await claimed_texts(store)) == ["text 0", "text 1", "text 2"]
    async with store.outbox.claim(10) as claim:
        assert {one.attempts for one in claim.events} == {0}
    retried = await store.events.get(failed[0].id)
    assert retried is not None
    assert retried.embedding_error is None


async def test_a_pause_lasts_until_it_is_ended(store: Repositories) -> None:
    seen = [await store.outbox.is_paused()]
    for paused in (True, True, False, False, True):
        await store.outbox.pause(paused)
        seen.append(await store.outbox.is_paused())

    assert seen == [False, True, True, False, False, True]
