"""What only PostgreSQL can get wrong: plans, sessions, races, rows of a past that the fake does not have."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from servicekit.errors import AbortedError, DeadlineExceededError, ResourceExhaustedError, TrimemError
from store.database import Database, translated
from store.errors import (
    DatabaseUnavailableError,
    EmbeddingSpaceMismatchError,
    EmbeddingSpaceUnknownError,
    SchemaError,
)
from store.events import EventFilter
from store.repositories.postgres import events as event_sql
from store.repositories.postgres import known_keys as known_sql
from store.repositories.postgres import nearest as nearest_sql
from store.repositories.postgres.partitions import PostgresPartitions
from store.use_cases.list_events import ListEvents
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import (
    DIMENSION,
    OTHER_SPACE,
    SPACE,
    execute,
    nearest,
    new_event,
    open_database,
    text_vector,
)

ALL = EventFilter()


@pytest_asyncio.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A pool on a new, migrated database."""
    async with open_database(await new_database(migrated=True)) as opened:
        yield opened


@pytest_asyncio.fixture
async def store(database: Database) -> Repositories:
    """The repository on it."""
    return Repositories.of_postgres(database)


async def explain(database: Database, statement: str, *arguments: object) -> str:
    """The plan of a statement on a table that pretends to be large."""
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return json.dumps(json.loads(rows[0][0]))


async def test_search_uses_the_hnsw_index(database: Database, store: Repositories) -> None:
    await store.events.create([new_event()], SPACE)

    plan = await explain(database, nearest_sql.NEAREST, text_vector("x"), None, None, None, 10, 5)

    assert "ix_events_embedding" in plan


async def test_lists_use_the_index_on_time(database: Database) -> None:
    plan = await explain(database, event_sql.LIST, None, None, None, None, None, None, 50)

    assert "ix_events_timestamp_id" in plan
    assert '"Sort"' not in plan


async def test_keys_are_looked_up_by_index(database: Database) -> None:
    plan = await explain(database, known_sql.KNOWN, ["r"], [uuid4()], True)

    assert "event_keys_request_id_key" in plan
    assert "event_keys_pkey" in plan


async def test_a_thousand_keys_are_looked_up_one_by_one(database: Database) -> None:
    ids = [uuid4() for _ in range(1000)]
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO event_keys (event_id, timestamp) SELECT id, now() FROM unnest($1::uuid[]) AS id", ids
        )
        await connection.execute("ANALYZE event_keys")

    plan = await explain(database, known_sql.KNOWN, [], ids, True)

    assert "Nested Loop" in plan
    assert "Hash" not in plan
    assert "Merge" not in plan


async def test_failed_events_are_listed_by_their_own_index(database: Database) -> None:
    plan = await explain(database, event_sql.LIST, None, None, None, "FAILED", None, None, 50)

    assert "ix_events_failed" in plan
    assert '"Sort"' not in plan


async def test_a_filter_hides_no_hit_when_the_index_scan_stops_early(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    # A scan that gives up after a few rows, and a planner that wants nothing but the HNSW index.
    name = urlsplit(url).path[1:]
    for setting in ("hnsw.max_scan_tuples = 1", "enable_bitmapscan = off", "seq_page_cost = 1000000"):
        await execute(url, f'ALTER DATABASE "{name}" SET {setting}')
    async with open_database(url) as database:
        store = Repositories.of_postgres(database)
        # A dense cloud around the query, and three events on the other side.
        centre, noise = text_vector("red apple"), np.random.default_rng(1)
        near = [new_event(embedding=centre + 0.05 * noise.standard_normal(DIMENSION)) for _ in range(600)]
        far = [new_event(metadata={"rare": True}, embedding=-centre + 0.001 * number) for number in range(3)]
        await store.events.create(far + near, SPACE)

        by_index = await explain(database, nearest_sql.NEAREST, text_vector("x"), {"rare": True}, None, None, 10, 5)
        hits = await nearest(store.search, text_vector("red apple"), SPACE, EventFilter(metadata={"rare": True}), 10)

    assert "ix_events_embedding" in by_index
    assert {hit.event.id for hit in hits} == {one.id for one in far}


async def test_settings_of_a_search_do_not_stay_with_its_connection(database: Database, store: Repositories) -> None:
    async with database.connection() as connection:
        before = await connection.fetchval("SHOW enable_indexscan")
    await store.events.create([new_event()], SPACE)
    await asyncio.gather(*(nearest(store.search, text_vector("x"), SPACE, ALL, 10) for _ in range(8)))

    async def look() -> tuple[str, str]:
        async with database.connection() as connection:
            return (
                await connection.fetchval("SHOW enable_indexscan"),
                await connection.fetchval("SELECT current_setting('hnsw.iterative_scan', true)"),
            )

    for indexscan, iterative in await asyncio.gather(*(look() for _ in range(8))):
        assert indexscan == before == "on"
        assert iterative in (None, "", "off")


async def test_two_models_that_race_to_write_first_end_with_one_space(store: Repositories) -> None:
    async def write(number: int) -> object:
        space = SPACE if number % 2 else OTHER_SPACE
        try:
            await store.events.create([new_event(f"number {number}")], space)
        except EmbeddingSpaceMismatchError as error:
            return error
        return space

    outcomes = await asyncio.gather(*(write(number) for number in range(20)))

    winner = await store.spaces.space()
    assert winner in (SPACE, OTHER_SPACE)
    assert sum(one == winner for one in outcomes) == 10
    assert sum(isinstance(one, EmbeddingSpaceMismatchError) for one in outcomes) == 10
    assert len(await store.events.page(ALL, None, 100)) == 10


async def test_batches_with_the_same_keys_in_another_order_do_not_get_in_each_others_way(
    store: Repositories,
) -> None:
    async def write(turn: int) -> int:
        keys = [f"key {number}" for number in range(50)]
        batch = [new_event(request_id=key) for key in (keys if turn % 2 else reversed(keys))]
        return sum(one is not None for one in await store.events.create(batch, SPACE))

    stored = await asyncio.gather(*(write(turn) for turn in range(8)))

    assert sum(stored) == 50
    assert len(await store.events.page(ALL, None, 1000)) == 50


async def insert_old_row(database: Database, content: str, metadata: str, vector: str) -> UUID:
    """A row as the monolith could have left it."""
    async with database.connection() as connection:
        identity: UUID = await connection.fetchval(
            """
            WITH made AS (
                INSERT INTO events (id, content, metadata, embedding, embedding_state)
                VALUES (gen_random_uuid(), $1::text::jsonb, $2::text::jsonb, $3::text::vector, 'EMBEDDED')
                RETURNING id, timestamp
            )
            INSERT INTO event_keys (event_id, timestamp) SELECT id, timestamp FROM made RETURNING event_id
            """,
            content,
            metadata,
            vector,
        )
    return identity


async def test_vectors_that_nobody_recorded_are_not_mixed_or_compared(database: Database, store: Repositories) -> None:
    await insert_old_row(database, '{"text": "old"}', "{}", str(text_vector("old").tolist()))

    with pytest.raises(EmbeddingSpaceUnknownError):
        await store.events.create([new_event()], SPACE)
    with pytest.raises(EmbeddingSpaceUnknownError):
        await nearest(store.search, text_vector("x"), SPACE, ALL, 10)
    with pytest.raises(EmbeddingSpaceUnknownError):
        await nearest(store.search, text_vector("x"), None, ALL, 10)
    assert len(await store.events.page(ALL, None, 10)) == 1

    await store.spaces.adopt_space(SPACE)

    assert await store.events.create([new_event()], SPACE) != [None]
    assert len(await nearest(store.search, text_vector("x"), SPACE, ALL, 10)) == 2


async def test_old_rows_of_any_json_are_read(database: Database, store: Repositories) -> None:
    zero = str([0] * DIMENSION)
    array = await insert_old_row(database, "[1, 2]", '"text"', str(text_vector("x").tolist()))
    huge = await insert_old_row(database, '{"n": 1e400}', "{}", zero)
    await store.spaces.adopt_space(SPACE)

    stored = await store.events.get(array)
    assert stored is not None
    assert (stored.content, stored.metadata) == ({"value": [1, 2]}, {"value": "text"})
    assert await store.events.get(huge) is not None
    # A vector of zeros has no direction, and no place among the hits.
    assert [hit.event.id for hit in await nearest(store.search, text_vector("x"), SPACE, ALL, 10)] == [array]


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        ("infinity", "9999-12-31T23:59:59.999999+00:00"),
        ("-infinity", "0001-01-01T00:00:00+00:00"),
        ("4000-01-01 BC", "0001-01-01T00:00:00+00:00"),
        ("12000-01-01", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
async def test_old_rows_of_times_that_have_no_place_in_an_answer_are_read(
    database: Database, store: Repositories, kept: str, read: str
) -> None:
    await insert_old_row(database, "{}", "{}", str(text_vector("x").tolist()))
    await PostgresPartitions(database).ensure({datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)})
    async with database.connection() as connection:
        await connection.execute(f"UPDATE events SET timestamp = '{kept}'")

    [event] = await store.events.page(ALL, None, 10)

    assert event.timestamp.isoformat() == read


async def test_pages_go_on_after_times_that_python_does_not_know(database: Database, store: Repositories) -> None:
    await PostgresPartitions(database).ensure({datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)})
    ids: list[UUID] = []
    for at in ("infinity", "infinity", "12000-01-01", "9999-12-31", "4000-01-01 BC", "4001-01-01 BC", "-infinity"):
        ids.append(await insert_old_row(database, "{}", "{}", str(text_vector("x").tolist())))
        async with database.connection() as connection:
            await connection.execute(f"UPDATE events SET timestamp = '{at}' WHERE id = $1", ids[-1])

    found, token = [], ""
    for _ in ids:
        page = await ListEvents(store.events).run(ALL, 1, token)
        found += [event.id for event in page.events]
        token = page.next_page_token

    assert found == [*sorted(ids[:2], reverse=True), *ids[2:]]
    assert token == ""


async def test_a_lock_that_takes_too_long_is_said() -> None:
    with pytest.raises(AbortedError) as caught:
        async with translated():
            raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
    assert caught.value.retry_after == 1


async def test_a_pool_that_is_busy_says_so(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    async with open_database(url, acquire_timeout=1) as database:  # which new connections take a part of
        store = Repositories.of_postgres(database)
        held = [database.connection() for _ in range(8)]
        for one in held:
            await one.__aenter__()
        try:
            with pytest.raises(ResourceExhaustedError) as caught:
                await store.events.get(uuid4())
        finally:
            for one in held:
                await one.__aexit__(None, None, None)

        assert caught.value.retry_after is not None
        assert await store.events.get(uuid4()) is None


async def test_a_database_without_our_tables_is_named_as_such(new_database: NewDatabase) -> None:
    url = await new_database()
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE EXTENSION vector")
    await connection.close()
    async with open_database(url) as database:
        with pytest.raises(SchemaError, match="python -m store migrate"):
            await Repositories.of_postgres(database).events.get(uuid4())


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ConnectionRefusedError(), DatabaseUnavailableError),
        (asyncpg.ConnectionDoesNotExistError(), DatabaseUnavailableError),
        (asyncpg.AdminShutdownError(), DatabaseUnavailableError),
        (asyncpg.CannotConnectNowError(), DatabaseUnavailableError),
        (asyncpg.TooManyConnectionsError(), DatabaseUnavailableError),
        (asyncpg.PostgresIOError("could not read a block"), DatabaseUnavailableError),
        (asyncpg.InterfaceError("connection is closed"), DatabaseUnavailableError),
        (asyncpg.InternalClientError("cannot switch to state 11"), DatabaseUnavailableError),
        (asyncpg.InvalidPasswordError(), DatabaseUnavailableError),
        (asyncpg.InvalidCatalogNameError(), DatabaseUnavailableError),
        (asyncpg.DiskFullError(), ResourceExhaustedError),
        (asyncpg.QueryCanceledError(), DeadlineExceededError),
        (TimeoutError(), DeadlineExceededError),
    ],
)
async def test_errors_of_the_database_get_our_names(raised: Exception, expected: type[TrimemError]) -> None:
    with pytest.raises(expected) as caught:
        async with translated():
            raise raised
    assert "SELECT" not in caught.value.message


async def test_a_mistake_in_a_statement_passes_through(database: Database) -> None:
    with pytest.raises(asyncpg.PostgresSyntaxError):
        async with database.connection() as connection:
            await connection.execute("SELEKT 1")


@pytest.mark.parametrize("reading", [False, True])
async def test_whatever_is_raised_on_a_lost_connection_means_that_it_was_lost(
    database: Database, reading: bool
) -> None:
    async def lose() -> None:
        begun = database.reading("SET LOCAL work_mem = '8MB'") if reading else database.connection()
        async with begun as connection:
            connection.terminate()
            raise asyncpg.InternalClientError("got result for unknown protocol state 3")

    with pytest.raises(DatabaseUnavailableError, match="connection to the database was lost"):
        await lose()

    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_search_leaves_no_transaction_open_behind_it(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.reading("SET LOCAL work_mem = '8MB'"):
            raise ZeroDivisionError

    async with asyncio.timeout(10):
        while database.pool_use().idle < database.pool_use().open:
            await asyncio.sleep(0.01)
    async with database.connection() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SHOW work_mem") != "8MB"
