"""What a search does to its connection: deadlines, and settings that must not stay. And rows that have no key."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from servicekit import context
from servicekit.errors import DeadlineExceededError
from store.database import Database
from store.events import EventFilter
from store.repositories.search import Question
from store.use_cases.words import words_of
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import SPACE, new_event, open_database, text_vector

ALL = EventFilter()
QUESTION = Question(terms=words_of("apple").terms, vector=text_vector("apple"))
SETTINGS = ("statement_timeout", "enable_seqscan", "enable_indexscan", "hnsw.ef_search", "hnsw.iterative_scan")


@pytest_asyncio.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A pool on a new, migrated database."""
    async with open_database(await new_database(migrated=True)) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> Repositories:
    """The repositories on it."""
    return Repositories.of_postgres(database)


async def test_a_search_that_cannot_end_in_time_gives_up_and_frees_its_connection(
    database: Database, store: Repositories
) -> None:
    await store.events.create([new_event("apple", words=words_of("apple"))], SPACE)
    async with database.transaction() as other:
        await other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        token = context.deadline.set(time.monotonic() + 0.3)
        try:
            with pytest.raises(DeadlineExceededError):
                await store.search.candidates(QUESTION, ALL, 10)
        finally:
            context.deadline.reset(token)

    assert len((await store.search.candidates(QUESTION, ALL, 10)).found) == 1


async def test_a_search_that_is_late_already_does_not_begin(store: Repositories) -> None:
    token = context.deadline.set(time.monotonic() - 1)
    try:
        with pytest.raises(DeadlineExceededError):
            await store.search.candidates(QUESTION, ALL, 10)
    finally:
        context.deadline.reset(token)


async def test_no_setting_outlives_its_search(database: Database, store: Repositories) -> None:
    async def look() -> list[str | None]:
        while database.pool_use().idle < database.pool_use().open:  # the last search's may still be ending
            await asyncio.sleep(0.01)
        async with database.connection() as connection:
            return [await connection.fetchval("SELECT current_setting($1, true)", name) for name in SETTINGS]

    # The first search loads the library of vectors, and with it the defaults of its settings.
    await store.search.candidates(QUESTION, ALL, 10)
    before = await look()
    await store.events.create([new_event("apple", words=words_of("apple"))], SPACE)
    token = context.deadline.set(time.monotonic() + 60)
    try:
        await store.search.candidates(QUESTION, ALL, 10)
    finally:
        context.deadline.reset(token)

    assert await look() == before
    assert before[0] == "0"


async def test_what_others_wrote_beside_the_store_is_found_too(database: Database, store: Repositories) -> None:
    event = new_event("apple", words=words_of("apple"), metadata={"k": 1})
    await store.events.create([event], SPACE)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM event_keys")

    for question in (QUESTION, Question(vector=text_vector("red")), Question(terms=QUESTION.terms)):
        [candidate] = (await store.search.candidates(question, ALL, 10)).found
        assert candidate.id == event.id
    assert set(await store.search.events([event.id], EventFilter(metadata={"k": 1}))) == {event.id}
    assert await store.search.events([event.id], EventFilter(metadata={"k": 2})) == {}


async def test_the_nearest_events_come_along_when_asked_for(store: Repositories) -> None:
    events = [new_event(text, metadata={"n": text}) for text in ("apple", "apple pie", "blue sea")]
    await store.events.create(events, SPACE)

    found = await store.search.candidates(Question(vector=text_vector("apple"), bring=2), ALL, 10)

    assert len(found.found) == 3
    assert found.events == await store.search.events([one.id for one in events[:2]], ALL)
