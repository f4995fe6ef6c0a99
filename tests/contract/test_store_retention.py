"""Dropping old partitions on PostgreSQL: with all that belongs to them, once, also when the store dies meanwhile."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from servicekit.errors import TrimemError
from store.database import Database
from store.repositories.postgres.partitions import PostgresPartitions
from store.use_cases.upkeep import Upkeep
from tests.conftest import NewDatabase
from tests.fixtures_partitions import NOW, Nobody, filled, names, upkeep, without_partitions
from tests.fixtures_store import execute, open_database

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


async def test_one_store_drops_at_a_time(url: str, database: Database) -> None:
    await filled(database, months=4)
    async with PostgresPartitions(database).alone() as alone:
        assert alone
        await upkeep(database, retention=2).run_once(NOW)
        assert len(await execute(url, "SELECT FROM events")) == 8

    await upkeep(database, retention=2).run_once(NOW)
    assert len(await execute(url, "SELECT FROM events")) == 6
