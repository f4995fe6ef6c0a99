"""What only PostgreSQL can get wrong about the outbox: plans, locks, killed sessions, rows of the past."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from servicekit.errors import UnavailableError
from store import migrate
from store.database import Database
from store.events import EmbeddingState, EventFilter
from store.repositories.outbox import Settled
from store.repositories.postgres import outbox as outbox_sql
from store.repositories.postgres import words as words_sql
from store.repositories.postgres.exclusively import CLAIMS_LOCK, exclusively
from store.repositories.postgres.words import PostgresWords
from store.use_cases.fill_words import FillWords
from store.use_cases.words import words_of
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import SPACE, execute, migrated, open_database, pending_event, plan, text_vector

PATIENCE = 30


@pytest_asyncio.fixture
async def url(new_database: NewDatabase) -> str:
    """A new, migrated database."""
    return await new_database(migrated=True)


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A pool on it."""
    async with open_database(url) as opened:
        yield opened


@pytest_asyncio.fixture
async def store(database: Database) -> Repositories:
    """The repositories on it."""
    return Repositories.of_postgres(database)


async def explain(database: Database, statement: str, *arguments: object) -> str:
    """The plan of a statement on a table that pretends to be large."""
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return json.dumps(json.loads(rows[0][0]))


async def test_claims_and_counts_use_the_partial_indexes(database: Database) -> None:
    claim = await explain(database, outbox_sql.CLAIM, 64)
    backlog = await explain(database, outbox_sql.BACKLOG)

    assert "pending" in claim
    assert '"Sort"' not in claim
    assert "pending" in backlog
    assert "failed" in backlog
    assert '"Seq Scan"' not in backlog
    assert "without_terms" in await explain(database, words_sql.CLAIM_WITHOUT_WORDS, 64)
    assert "without_terms" in await explain(database, words_sql.COUNT_WITHOUT_WORDS)


async def test_settling_finds_its_rows_by_their_key(url: str, database: Database) -> None:
    await old_rows(url, 2000)
    await execute(url, "ANALYZE events")
    key = (pending_event().id, datetime.now(UTC))
    settle = await explain(database, outbox_sql.SETTLE, *key, "FAILED", None, 1, "", None)
    fill = await explain(database, words_sql.FILL, [], key[1] - timedelta(hours=1), key[1])

    for plan_of in (settle, fill):
        assert '"Index Cond"' in plan_of
        assert '"Seq Scan"' not in plan_of


async def test_the_events_of_a_killed_claimer_come_back(url: str, database: Database, store: Repositories) -> None:
    await store.events.create([pending_event("late")], None)

    async def be_killed() -> None:
        async with store.outbox.claim(1) as claim:
            await execute(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND state = 'idle in transaction'",
            )
            await claim.settle([Settled(claim.events[0], EmbeddingState.EMBEDDED, text_vector("late"))], SPACE)

    with pytest.raises(UnavailableError):
        await be_killed()

    async with store.outbox.claim(1) as claim:
        assert [one.content for one in claim.events] == [{"text": "late"}]


async def test_a_session_that_nobody_ends_is_ended_by_the_database(database: Database, store: Repositories) -> None:
    async with database.transaction() as connection:
        await connection.execute(outbox_sql.BEGIN_CLAIM)
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "2min"
    async with database.connection() as connection:
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "0"


async def test_a_change_of_a_claimed_event_waits_and_wins(url: str, store: Repositories) -> None:
    await store.events.create([pending_event("old text")], None)
    changer = await asyncpg.connect(url)
    try:
        async with store.outbox.claim(1) as claim:
            changing = asyncio.create_task(
                changer.execute(
                    'UPDATE events SET content = \'{"text": "new text"}\', embedding = NULL, '
                    "embedding_state = 'PENDING', update_time = clock_timestamp()"
                )
            )
            async with asyncio.timeout(PATIENCE):
                while not await execute(
                    url, "SELECT FROM pg_locks WHERE pid = $1 AND NOT granted", changer.get_server_pid()
                ):
                    await asyncio.sleep(0.01)
            await claim.settle([Settled(claim.events[0], EmbeddingState.EMBEDDED, text_vector("old text"))], SPACE)
        await asyncio.wait_for(changing, PATIENCE)
    finally:
        await changer.close()

    async with store.outbox.claim(1) as claim:  # the vector of the old text is gone
        assert [one.content for one in claim.events] == [{"text": "new text"}]


async def test_rows_of_times_that_python_does_not_know_are_settled_and_get_words(new_database: NewDatabase) -> None:
    url = await new_database()
    await asyncio.to_thread(migrate.upgrade, plan(url), "0001")
    for timestamp in ("infinity", "-infinity", "4000-01-01 BC", "12000-01-01", "9999-12-31 23:59:59.999999"):
        await execute(
            url,
            "INSERT INTO events (id, timestamp, content) "
            'VALUES (gen_random_uuid(), $1::text::timestamptz, \'{"text": "an old apple"}\')',
            timestamp,
        )
    async with open_database(await migrated(url)) as database:
        async with Repositories.of_postgres(database).outbox.claim(10) as claim:
            await claim.settle(
                [Settled(one, EmbeddingState.EMBEDDED, text_vector("old")) for one in claim.events], SPACE
            )
        assert await FillWords(PostgresWords(database), Counted(), 1).run_once() == 5

    rows = await execute(url, "SELECT embedding_state, terms FROM events")
    assert [(row["embedding_state"], row["terms"]) for row in rows] == [
        ("EMBEDDED", list(words_of("an old apple").terms))
    ] * 5


class Counted:
    """Hears how many events have no words."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def without_words(self, count: int) -> None:
        """See FillWords."""
        self.counts.append(count)


async def old_rows(url: str, count: int) -> None:
    """Rows from before the store looked for words."""
    await execute(
        url,
        "INSERT INTO events (id, content, embedding_state) "
        "SELECT gen_random_uuid(), jsonb_build_object('text', 'red apple ' || n), 'SKIPPED' "
        "FROM generate_series(1, $1::integer) AS n",
        count,
    )


async def test_old_rows_get_their_words_in_batches_that_count_for_searches(url: str, database: Database) -> None:
    await old_rows(url, 250)
    await execute(url, "INSERT INTO events (id, content, embedding_state) VALUES (gen_random_uuid(), '[]', 'SKIPPED')")
    fill = FillWords(PostgresWords(database), Counted(), 1)

    assert [await fill.run_once() for _ in range(4)] == [100, 100, 51, 0]

    apple = words_of("apple").terms[0]
    rows = await execute(url, "SELECT terms, term_counts, term_total FROM events")
    assert sum(apple in row["terms"] for row in rows) == 250
    assert {row["term_total"] for row in rows} == {3, 0}
    assert all(sum(row["term_counts"]) == row["term_total"] for row in rows)
    # A change for each batch, not for each row.
    changes = await execute(url, "SELECT documents, length FROM lexical_changes")
    assert sorted(row["documents"] for row in changes) == [50, 100, 100]
    assert sum(row["length"] for row in changes) == 750


async def test_two_that_fill_words_never_get_the_same_row(url: str, database: Database) -> None:
    await old_rows(url, 50)
    words = PostgresWords(database)

    async with words.claim_without_words(30) as one, words.claim_without_words(30) as other:
        texts = [content["text"] for content in (*one.contents, *other.contents)]

    assert len(texts) == len(set(texts)) == 50
    assert await words.count_without_words() == 50


async def test_filling_words_ends_nothing_else(url: str, database: Database, store: Repositories) -> None:
    await store.events.create([pending_event("late")], None)
    await execute(url, "UPDATE events SET terms = NULL, term_counts = NULL, term_total = NULL")

    await FillWords(PostgresWords(database), Counted(), 1).run_once()

    [event] = await store.events.page(EventFilter(), None, 10)
    assert (event.embedding_state, event.update_time) == (EmbeddingState.PENDING, event.create_time)


async def test_whoever_needs_the_table_to_himself_waits_for_claims_and_holds_off_new_ones(
    store: Repositories, database: Database
) -> None:
    await store.events.create([pending_event("one"), pending_event("two")], SPACE)
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    async with asyncio.timeout(PATIENCE), database.connection() as connection:
        async with store.outbox.claim(1) as claim:
            changing = asyncio.create_task(exclusively(connection, work))
            while await claimed(store):  # the other event, until the change is asked for
                await asyncio.sleep(0.01)
            assert not done.is_set()
            [event] = claim.events
            await claim.settle([Settled(event, EmbeddingState.EMBEDDED, text_vector("one"))], SPACE)
        await changing

    assert done.is_set()
    assert await claimed(store) == 1


async def test_a_killed_change_lets_claims_in_again(store: Repositories, url: str) -> None:
    await store.events.create([pending_event("one")], SPACE)
    connection = await asyncpg.connect(url)
    await connection.execute("SELECT pg_advisory_lock($1)", CLAIMS_LOCK)
    assert await claimed(store) == 0

    connection.terminate()

    async with asyncio.timeout(PATIENCE):
        while not await claimed(store):
            await asyncio.sleep(0.05)


async def claimed(store: Repositories) -> int:
    """How many events a claim that does nothing gets."""
    async with store.outbox.claim(10) as claim:
        return len(claim.events)
