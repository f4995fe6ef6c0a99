"""Dropping old partitions on PostgreSQL: with all that belongs to them, once, also when the store dies meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from servicekit.errors import TrimemError
from store.database import Database
from store.repositories.postgres.partitions import MARK, PostgresPartitions
from store.use_cases.upkeep import Upkeep
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_partitions import NOW, Nobody, filled, names, upkeep, without_partitions
from tests.fixtures_store import SPACE, execute, new_event, open_database

COUNTS = "SELECT coalesce(sum(documents), 0) AS documents, coalesce(sum(length), 0) AS length FROM lexical_changes"
TERMS = """
    SELECT term, sum(delta) AS delta FROM lexical_changes, unnest(terms, deltas) AS t (term, delta)
    GROUP BY term HAVING sum(delta) <> 0 ORDER BY term
"""


@pytest_asyncio.fixture
async def url(new_database: NewDatabase) -> str:
    """A migrated database without partitions."""
    return await without_partitions(new_database)


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A pool on it."""
    async with open_database(url) as opened:
        yield opened


async def test_retention_drops_what_is_older_with_its_keys_and_words(url: str, database: Database) -> None:
    ids = await filled(database, months=6)

    await upkeep(database, retention=2).run_once(NOW)

    assert (await names(database))[:3] == ["events_y2026m09", "events_y2026m10", "events_y2026m11"]
    kept = await execute(url, "SELECT id FROM events ORDER BY timestamp")
    assert {row["id"] for row in kept} == set(ids[-6:])
    assert {row["event_id"] for row in await execute(url, "SELECT event_id FROM event_keys")} == set(ids[-6:])
    assert [tuple(row) for row in await execute(url, COUNTS)] == [(6, 18)]
    assert [tuple(row) for row in await execute(url, TERMS)] == [(1, 6), (2, 3), (3, 3)]
    assert await execute(url, "SELECT FROM pg_tables WHERE tablename = 'events_y2026m08'") == []


async def test_without_retention_nothing_is_dropped(url: str, database: Database) -> None:
    await filled(database, months=6)

    await upkeep(database).run_once(NOW)

    assert len(await execute(url, "SELECT FROM events")) == 12


async def test_what_is_dropped_is_logged_before_with_its_events(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await filled(database, months=3)

    await upkeep(database, retention=1).run_once(NOW)

    said = capsys.readouterr().out
    assert said.index("dropping a partition") < said.index("dropped a partition")
    assert "events_y2026m09" in said
    assert "events=2" in said or '"events": 2' in said


@pytest.mark.parametrize("step", ["detach", "detached", "count", "forget_keys", "drop"])
async def test_retention_that_died_in_the_middle_goes_on(url: str, database: Database, step: str) -> None:
    ids = await filled(database, months=4)

    died = PostgresPartitions(database)
    name = urlsplit(url).path[1:]
    if step == "detach":  # in the middle of it: others are waited for
        await execute(url, f'ALTER DATABASE "{name}" SET statement_timeout = 300')
    else:

        async def die(*_: Any) -> Any:
            raise ConnectionError("died")

        setattr(died, step, die)
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction():
            if step == "detach":
                await holder.execute("SELECT FROM events LIMIT 1")
            with pytest.raises((TrimemError, ConnectionError)):
                await Upkeep(died, Nobody(), months_ahead=1, retention_months=2).run_once(NOW)
    finally:
        await holder.close()
        await execute(url, f'ALTER DATABASE "{name}" RESET statement_timeout')

    interrupted = await execute(url, "SELECT FROM pg_inherits WHERE inhdetachpending")
    assert len(interrupted) == (step == "detach")
    async with open_database(url) as other:
        await upkeep(other, retention=2).run_once(NOW)

        assert (await names(other))[0] == "events_y2026m09"
    assert {row["event_id"] for row in await execute(url, "SELECT event_id FROM event_keys")} == set(ids[-6:])
    assert [tuple(row) for row in await execute(url, COUNTS)] == [(6, 18)]
    assert await execute(url, "SELECT FROM pg_tables WHERE tablename = 'events_y2026m08'") == []


async def test_a_partition_that_an_operator_detached_is_left_alone(url: str, database: Database) -> None:
    await filled(database, months=4)
    await execute(url, "ALTER TABLE events DETACH PARTITION events_y2026m08")

    await upkeep(database, retention=2).run_once(NOW)

    assert len(await execute(url, "SELECT FROM events_y2026m08")) == 2


MARKED = """
    SELECT relname FROM pg_class WHERE relname LIKE 'events\\_y%' AND relkind = 'r'
    AND obj_description(oid, 'pg_class') LIKE 'trimem: %' ORDER BY relname
"""
DETACHING = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'ALTER TABLE events DETACH%'"


@asynccontextmanager
async def killed_while_it_detaches(url: str) -> AsyncIterator[None]:
    """Kills the session of the block that detaches, once the detachment waits for others."""
    pending = f"SELECT (SELECT bool_or(inhdetachpending) FROM pg_inherits) AND EXISTS (SELECT {DETACHING}) AS yes"

    async def kill() -> None:
        while not (await execute(url, pending))[0]["yes"]:
            await asyncio.sleep(0.02)
        await execute(url, f"SELECT pg_terminate_backend(pid) {DETACHING}")

    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction(), asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            await holder.execute("SELECT FROM events LIMIT 1")
            tasks.create_task(kill())
            yield
    finally:
        await holder.close()


async def deleted_long_ago(url: str, database: Database) -> str:
    """The request_id of an event whose keys are to be free again."""
    events = Repositories.of_postgres(database).events
    event = new_event(request_id="deleted long ago", timestamp=NOW)
    await events.create([event], SPACE)
    await events.delete(event.id)
    time = NOW - timedelta(days=31)
    await execute(url, "UPDATE event_keys SET delete_time = $1 WHERE event_id = $2", time, event.id)
    return "deleted long ago"


async def test_an_interrupted_detachment_is_finished_before_others_begin(url: str, database: Database) -> None:
    ids = await filled(database, months=6)
    request = await deleted_long_ago(url, database)
    async with killed_while_it_detaches(url):
        with pytest.raises(TrimemError):
            await upkeep(database, retention=2).run_once(NOW)

    assert [row["relname"] for row in await execute(url, MARKED)] == ["events_y2026m06"]
    assert await execute(url, "SELECT FROM event_keys WHERE request_id = $1", request) == []  # nothing waits for it

    await upkeep(database, retention=2).run_once(NOW)

    assert (await names(database))[0] == "events_y2026m09"
    assert {row["event_id"] for row in await execute(url, "SELECT event_id FROM event_keys")} == set(ids[-6:])


async def test_what_could_not_be_detached_is_not_marked_when_an_operator_detaches_it(
    url: str, database: Database
) -> None:
    await filled(database, months=6)
    request = await deleted_long_ago(url, database)
    async with killed_while_it_detaches(url):
        with pytest.raises(asyncpg.PostgresError):  # an operator's, who wants to keep it
            await execute(url, "ALTER TABLE events DETACH PARTITION events_y2026m06 CONCURRENTLY")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError):
        await upkeep(database, retention=2).run_once(NOW)
    assert await execute(url, MARKED) == []
    assert await execute(url, "SELECT FROM event_keys WHERE request_id = $1", request) == []
    await execute(url, "ALTER TABLE events DETACH PARTITION events_y2026m06 FINALIZE")
    await execute(url, "ALTER TABLE events DETACH PARTITION events_y2026m07")

    await upkeep(database, retention=2).run_once(NOW)

    assert (await names(database))[0] == "events_y2026m09"
    assert len(await execute(url, "SELECT FROM events_y2026m06")) == 2
    assert len(await execute(url, "SELECT FROM events_y2026m07")) == 2
    assert await execute(url, "SELECT FROM pg_tables WHERE tablename = 'events_y2026m08'") == []


async def test_a_mark_that_a_killed_store_left_is_taken_back(url: str, database: Database) -> None:
    await filled(database, months=2)
    await execute(url, MARK.format(name="events_y2026m10"))

    assert await PostgresPartitions(database).detached() == []

    assert await execute(url, MARKED) == []


async def test_one_store_drops_at_a_time(url: str, database: Database) -> None:
    await filled(database, months=4)
    async with PostgresPartitions(database).alone() as alone:
        assert alone
        await upkeep(database, retention=2).run_once(NOW)
        assert len(await execute(url, "SELECT FROM events")) == 8

    await upkeep(database, retention=2).run_once(NOW)
    assert len(await execute(url, "SELECT FROM events")) == 6
