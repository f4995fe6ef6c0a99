"""Partitions of events on PostgreSQL: made ahead and on demand, kept within limits, dropped, read by time only."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from servicekit.errors import FailedPreconditionError
from store.database import Database
from store.errors import TimesRefusedError
from store.events import EventFilter
from store.metrics import StoreMetrics
from store.repositories.postgres import events as event_sql
from store.repositories.postgres import nearest as nearest_sql
from store.repositories.postgres.partitions import PostgresPartitions
from store.repositories.status import PoolUse
from store.use_cases.upkeep import Upkeep
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_migrations import OLD, adopt, check
from tests.fixtures_partitions import NOW, OLD_TIME, Nobody, filled, names, upkeep, without_partitions
from tests.fixtures_store import SPACE, execute, migrated, new_event, open_database, text_vector


@pytest_asyncio.fixture
async def url(new_database: NewDatabase) -> str:
    """A migrated database without partitions."""
    return await without_partitions(new_database)


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A pool on it."""
    async with open_database(url) as opened:
        yield opened


async def test_months_are_made_ahead(url: str, database: Database) -> None:
    await upkeep(database, ahead=2).run_once(NOW)

    assert await names(database) == ["events_y2026m11", "events_y2026m12", "events_y2027m01"]
    assert (await PostgresPartitions(database).partitions())[1].end_time == datetime(2027, 1, 1, tzinfo=UTC)
    await upkeep(database, ahead=2).run_once(NOW)
    await upkeep(database, ahead=2).run_once(NOW + timedelta(days=12))
    assert (await names(database))[-1] == "events_y2027m02"
    await check(url)


async def test_every_partition_has_every_index_under_its_name(url: str, database: Database) -> None:
    await PostgresPartitions(database).ensure([NOW])

    rows = await execute(url, "SELECT tablename, indexname FROM pg_indexes WHERE tablename LIKE 'events%'")
    whole = {row["indexname"] for row in rows if row["tablename"] == "events"}
    part = {row["indexname"] for row in rows if row["tablename"] == "events_y2026m11"}
    assert {f"{name}_y2026m11" for name in whole if not name.startswith("event_keys")} == part
    assert "ix_events_embedding" in whole


@pytest.mark.parametrize(
    ("time", "name"),
    [
        (datetime.min.replace(tzinfo=UTC), "events_before_1970"),
        (datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "events_before_1970"),
        (datetime(1970, 1, 1, tzinfo=UTC), "events_y1970m01"),
        (datetime(2024, 2, 29, 12, tzinfo=UTC), "events_y2024m02"),
        (datetime(2099, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "events_y2099m12"),
        (datetime(2100, 1, 1, tzinfo=UTC), "events_from_2100"),
        (datetime.max.replace(tzinfo=UTC), "events_from_2100"),
    ],
)
async def test_an_event_of_any_time_makes_its_partition(database: Database, time: datetime, name: str) -> None:
    events = Repositories.of_postgres(database).events
    event = new_event(timestamp=time)

    assert await events.create([event], SPACE) != [None]

    assert await names(database) == [name]
    stored = await events.get(event.id)
    assert stored is not None
    assert stored.timestamp == time


async def test_stores_that_need_the_same_months_at_once_make_them_once(new_database: NewDatabase, url: str) -> None:
    months = [datetime(2020, 1 + number % 12, 3, tzinfo=UTC) for number in range(12)]
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(open_database(url)) for _ in range(3)]
        stores = [Repositories.of_postgres(pool).events for pool in pools]
        results = await asyncio.gather(
            *(
                store.create([new_event(timestamp=one) for one in (months if turn % 2 else reversed(months))], SPACE)
                for turn in range(4)
                for store in stores
            ),
            *(upkeep(pool).run_once(NOW) for pool in pools),
        )
        stored = [one for batch in results if batch is not None for one in batch]
        found = await stores[0].page(EventFilter(), None, 1000)

        assert len(stored) == len(found) == 12 * 12
        assert None not in stored
        assert len(await names(pools[0])) == 12 + 5


async def test_a_month_is_made_while_others_have_the_table_in_use(url: str, database: Database) -> None:
    reader = await asyncpg.connect(url)
    try:
        async with reader.transaction():
            await reader.execute("LOCK TABLE events IN ROW EXCLUSIVE MODE")  # what a writer has
            assert await Repositories.of_postgres(database).events.create([new_event(timestamp=OLD_TIME)], SPACE)
    finally:
        await reader.close()


async def test_more_months_than_may_be_are_refused_by_name(database: Database) -> None:
    store = Repositories.of_postgres(database, most_partitions=2)
    times = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3)]

    with pytest.raises(TimesRefusedError) as caught:
        await store.events.create([new_event(timestamp=time) for time in times], SPACE)

    assert "event.timestamp" in str(caught.value.violations)
    assert len(caught.value.times) == 1
    assert await store.events.page(EventFilter(), None, 10) == []  # all or nothing
    assert len(await names(database)) == 2
    assert await store.events.create([new_event(timestamp=time) for time in set(times) - caught.value.times], SPACE)


async def test_the_present_and_the_months_ahead_are_made_whatever_others_made(database: Database) -> None:
    store = Repositories.of_postgres(database, most_partitions=2)
    await store.events.create([new_event(timestamp=datetime(2020, month, 1, tzinfo=UTC)) for month in (1, 2)], SPACE)
    present = datetime.now(UTC)

    with pytest.raises(TimesRefusedError) as caught:
        await store.events.create([new_event(timestamp=time) for time in (present, OLD_TIME)], SPACE)
    assert caught.value.times == {OLD_TIME}
    assert await store.events.create([new_event(timestamp=present)], SPACE) != [None]

    ahead = Upkeep(PostgresPartitions(database, 2), Nobody(), months_ahead=2, retention_months=0)
    await ahead.run_once(datetime(2040, 1, 1, tzinfo=UTC))

    assert (await names(database))[3:] == ["events_y2040m01", "events_y2040m02", "events_y2040m03"]


async def test_too_few_locks_for_all_partitions_are_noticed(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    partitions = PostgresPartitions(database)
    await partitions.ensure([NOW])
    assert await partitions.needed_locks() is None

    # Two tables with eight indexes each, for each of so many connections.
    monkeypatch.setattr(database, "pool_use", lambda: PoolUse(open=0, idle=0, most=1_000_000))
    async with database.connection() as connection:
        sessions = await connection.fetchval(
            "SELECT current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int"
        )
    assert await partitions.needed_locks() == math.ceil(2 * 9 * 1_000_000 / sessions)
    await upkeep(database).run_once(NOW)
    assert "max_locks_per_transaction" in capsys.readouterr().out


async def test_a_table_in_the_place_of_a_partition_is_named(url: str, database: Database) -> None:
    await execute(url, "CREATE TABLE events_y2024m05 (LIKE events)")

    with pytest.raises(FailedPreconditionError, match="events_y2024m05 exists and is no partition"):
        await Repositories.of_postgres(database).events.create([new_event(timestamp=OLD_TIME)], SPACE)


async def test_keys_of_deleted_events_are_free_after_thirty_days(url: str, database: Database) -> None:
    events = Repositories.of_postgres(database).events
    old, new, kept = new_event(request_id="old"), new_event(request_id="new"), new_event(request_id="kept")
    await events.create([old, new, kept], SPACE)
    for one in (old, new):
        assert await events.delete(one.id)
    for identity, days in ((old.id, 31), (new.id, 29)):
        await execute(
            url, "UPDATE event_keys SET delete_time = $1 WHERE event_id = $2", NOW - timedelta(days=days), identity
        )

    await upkeep(database).run_once(NOW)

    known = await events.known(["old", "new", "kept"], [])
    assert known.deleted == {"new", new.id}
    assert set(known.by_request) == {"kept"}


async def test_an_adopted_table_is_a_partition_like_others(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, OLD[0])
    await migrated(url)
    async with open_database(url) as database:
        events = Repositories.of_postgres(database).events
        event = new_event(timestamp=OLD_TIME)
        await Repositories.of_postgres(database).spaces.adopt_space(SPACE)
        await events.create([event], SPACE)
        assert (await names(database))[0] == "events_historic"
        assert len(await execute(url, "SELECT FROM events_historic WHERE id = $1", event.id)) == 1

        far = datetime(2040, 1, 1, tzinfo=UTC)
        await upkeep(database, retention=24).run_once(far)
        assert "events_historic" not in await names(database)
        assert await events.get(event.id) is None


def partitions_of(plan: Any) -> set[str]:
    """The tables that a plan reads."""
    if isinstance(plan, list):
        return set().union(*map(partitions_of, plan))
    if isinstance(plan, dict):
        own = {plan["Relation Name"]} if "Relation Name" in plan else set()
        return own.union(*map(partitions_of, plan.values()))
    return set()


async def test_a_range_of_time_reads_its_partitions_only(database: Database) -> None:
    await filled(database, months=6)
    start, end = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)
    for statement, *arguments in (
        (event_sql.LIST, None, start, end, None, None, None, 10),
        (nearest_sql.NEAREST, text_vector("x"), None, start, end, 10, 5),
    ):
        async with database.connection() as connection:
            rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
        read = partitions_of(json.loads(rows[0][0])) - {"embedding_spaces"}
        assert read == {"events_y2026m08", "events_y2026m09"}


async def test_an_event_is_looked_for_in_one_partition(database: Database) -> None:
    [one, *_] = await filled(database, months=6)
    async with database.connection() as connection:
        time = await connection.fetchval(event_sql.GET_TIME, one)
        rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) {event_sql.GET_AT}", one, time)
    assert partitions_of(json.loads(rows[0][0])) == {"events_y2026m06"}


async def test_metrics_tell_the_rows_of_each_partition(url: str, database: Database) -> None:
    registry = CollectorRegistry()
    metrics = StoreMetrics(registry)
    await filled(database, months=2)
    await execute(url, "ANALYZE events")
    metrics.partitions(await PostgresPartitions(database).partitions())
    assert registry.get_sample_value("trimem_store_partition_rows", {"partition": "events_y2026m10"}) == 2

    metrics.partitions([])

    assert registry.get_sample_value("trimem_store_partition_rows", {"partition": "events_y2026m10"}) is None
