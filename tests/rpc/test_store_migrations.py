"""Migrations on real databases: up and down, checks, locks, refusals."""

import asyncio
import os
import sys

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from store import migrate
from store.errors import SchemaError
from store.migrate import MigrationPlan
from tests.conftest import NewDatabase
from tests.fixtures_migrations import OLD, ROWS, Old, adopt, check, differences, downgrade, execute_script
from tests.fixtures_store import DIMENSION, execute, migrated, plan

#: Every revision but the baseline, newest first.
REVISIONS = [
    script.revision
    for script in ScriptDirectory(str(migrate.migrations_folder())).walk_revisions()
    if script.down_revision is not None
]


async def test_an_empty_database_gets_exactly_what_the_metadata_says(new_database: NewDatabase) -> None:
    url = await migrated(await new_database())

    await check(url)
    assert await differences(url) == []
    assert await migrated(url) == url  # again, and nothing to do


async def step_by_step(url: str) -> None:
    """Down from the newest revision, one by one, and each up again on the way."""
    for revision in REVISIONS:
        down = revision_before(revision)
        await downgrade(url, down)
        await asyncio.to_thread(migrate.upgrade, plan(url), revision)
        await downgrade(url, down)
    await migrated(url)


def revision_before(revision: str) -> str:
    """The one that it follows."""
    script = ScriptDirectory(str(migrate.migrations_folder())).get_revision(revision)
    assert script is not None
    return str(script.down_revision)


async def test_every_revision_goes_down_and_up_again_on_an_empty_database(new_database: NewDatabase) -> None:
    url = await migrated(await new_database())

    await step_by_step(url)

    await check(url)
    assert await differences(url) == []


@pytest.mark.parametrize("old", OLD, ids=lambda old: old.name)
async def test_every_revision_goes_down_and_up_again_on_an_adopted_one(new_database: NewDatabase, old: Old) -> None:
    url = await new_database()
    await adopt(url, old)
    await migrated(url)
    before = await execute(url, "SELECT * FROM events ORDER BY id")

    await step_by_step(url)

    assert await execute(url, "SELECT * FROM events ORDER BY id") == before
    await check(url)


async def test_the_monolith_can_write_again_after_going_back(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, OLD[0])
    await migrated(url)

    await downgrade(url, "0001")
    await execute(url, "INSERT INTO events (id, content, metadata) VALUES (gen_random_uuid(), '{}', NULL)")
    await migrated(url)

    assert len(await execute(url, "SELECT FROM events")) == len(ROWS) + 1
    await check(url)


async def test_another_dimension_is_refused_with_both_numbers(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, OLD[0])

    with pytest.raises(SchemaError) as caught:
        await asyncio.to_thread(migrate.upgrade, MigrationPlan(url=url, dimension=768))

    assert f"{DIMENSION} dimensions" in caught.value.message
    assert "EMBEDDING_DIMENSION is 768" in caught.value.message
    assert f"set EMBEDDING_DIMENSION={DIMENSION}" in caught.value.message
    assert await execute(url, "SELECT FROM pg_tables WHERE tablename = 'event_keys'") == []


async def test_vectors_of_no_fixed_dimension_are_refused(new_database: NewDatabase) -> None:
    url = await new_database()
    await execute(url, "CREATE EXTENSION vector")
    await execute(
        url, "CREATE TABLE events (id uuid, timestamp timestamptz, content jsonb, metadata jsonb, embedding vector)"
    )

    with pytest.raises(SchemaError, match="has no fixed dimension"):
        await migrated(url)


async def test_a_table_that_is_not_the_monoliths_is_refused_and_left_alone(new_database: NewDatabase) -> None:
    url = await new_database()
    await execute(url, "CREATE TABLE events (id serial PRIMARY KEY, title text)")

    with pytest.raises(SchemaError, match="column id should be of type uuid and is integer"):
        await migrated(url)

    assert await execute(url, "SELECT FROM pg_tables WHERE tablename IN ('nodes', 'alembic_version')") == []


async def test_the_baseline_does_not_go_down(new_database: NewDatabase) -> None:
    url = await migrated(await new_database())

    with pytest.raises(SchemaError, match="the baseline cannot be undone"):
        await downgrade(url, "base")

    await check(url)


async def test_check_names_what_is_missing(new_database: NewDatabase) -> None:
    url = await migrated(await new_database())
    await execute(url, "DROP INDEX ix_events_embedding")

    with pytest.raises(SchemaError, match="ix_events_embedding"):
        await check(url)


async def test_check_fails_on_a_database_that_is_behind(new_database: NewDatabase) -> None:
    with pytest.raises(SchemaError):
        await check(await new_database())


async def test_migrators_at_once_wait_for_each_other(new_database: NewDatabase) -> None:
    url = await new_database()

    environment = os.environ | {"DATABASE_URL": url, "EMBEDDING_DIMENSION": str(DIMENSION)}
    migrators = [
        await asyncio.create_subprocess_exec(sys.executable, "-m", "store", "migrate", env=environment)
        for _ in range(3)
    ]

    assert [await one.wait() for one in migrators] == [0, 0, 0]
    await check(url)


async def test_a_lock_that_others_hold_ends_the_migration_with_a_clear_message(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, OLD[0])
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE events IN ACCESS SHARE MODE")
            with pytest.raises(SchemaError, match="MIGRATION_LOCK_TIMEOUT_SECONDS"):
                await asyncio.to_thread(migrate.upgrade, MigrationPlan(url=url, dimension=DIMENSION, lock_timeout=0.1))
    finally:
        await holder.close()

    assert len(await execute(url, "SELECT FROM events")) == len(ROWS)
    await migrated(url)


async def test_a_statement_may_not_run_longer_than_allowed(new_database: NewDatabase) -> None:
    url = await new_database()
    holder = await asyncpg.connect(url)
    try:
        await holder.execute("SELECT pg_advisory_lock($1)", 0x7472696D656D)  # as a migrator has it
        with pytest.raises(SchemaError, match="statement timeout"):
            await asyncio.to_thread(migrate.upgrade, MigrationPlan(url=url, dimension=DIMENSION, statement_timeout=0.2))
    finally:
        await holder.close()


async def test_a_database_that_is_not_there_is_named_as_such() -> None:
    with pytest.raises(SchemaError, match="cannot connect to the database"):
        await migrated("postgresql://postgres@/nothing?host=/nowhere")


async def test_statements_for_an_empty_database_can_be_printed_and_run(
    new_database: NewDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    url = await new_database()

    migrate.upgrade(plan("postgresql://nowhere/none"), sql=True)
    await execute_script(url, capsys.readouterr().out)

    await check(url)
    assert await differences(url) == []
