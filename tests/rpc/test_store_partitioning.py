"""Revision 0004 on databases of the monolith: while others read and write, killed in the middle, with things added."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from store import migrate
from store.errors import SchemaError
from store.migrate import MigrationPlan
from store.partitions import later
from tests.conftest import NewDatabase
from tests.fixtures_migrations import OLD, ROWS, adopt, check, downgrade, execute_script
from tests.fixtures_store import execute, migrated, plan

ROW_COUNT = 100_000
SMALL = 4

LARGE = f"""
    CREATE EXTENSION vector;
    CREATE TABLE events (
        id uuid NOT NULL, timestamp timestamptz NOT NULL DEFAULT now(), content jsonb NOT NULL,
        metadata jsonb DEFAULT '{{}}', embedding vector({SMALL}), PRIMARY KEY (id, timestamp)
    );
    INSERT INTO events (id, timestamp, content, metadata, embedding)
    SELECT gen_random_uuid(), now() - n * interval '5 minutes', jsonb_build_object('text', 'number ' || n),
           CASE WHEN n % 10 > 0 THEN jsonb_build_object('n', n) END,
           CASE WHEN n % 5 > 0 THEN ARRAY[random(), random(), random(), random()]::vector END
    FROM generate_series(1, {ROW_COUNT}) AS n;
    CREATE INDEX events_vectors ON events USING hnsw (embedding vector_cosine_ops) WITH (m = 4, ef_construction = 16);
    CREATE VIEW recent AS SELECT id, timestamp, content FROM events;
"""

FILES = """
    SELECT a.amname AS kind, pg_relation_filenode(c.oid) AS file FROM pg_class c
    LEFT JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am a ON a.oid = c.relam
    WHERE (c.oid = to_regclass($1) OR i.indrelid = to_regclass($1))
      AND (a.amname IN ('heap', 'hnsw') OR i.indisprimary) ORDER BY kind
"""


@asynccontextmanager
async def going_on(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Repeats each of `works` until the end of the block, and a moment longer. Raises what they raise."""
    over = asyncio.Event()

    async def repeat(work: Callable[[], Awaitable[None]]) -> None:
        for _ in range(5):  # before, and after
            await work()
        while not over.is_set():
            await work()
            await asyncio.sleep(0.001)
        for _ in range(5):
            await work()

    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(repeat(work))
        try:
            yield
        finally:
            over.set()


async def test_a_large_table_is_adopted_as_it_lies_while_others_read_and_write(new_database: NewDatabase) -> None:
    url = await new_database()
    await execute_script(url, LARGE)
    before = await execute(url, FILES, "events")
    written: list[UUID] = []
    deleted: list[UUID] = []
    changed: set[UUID] = set()
    old = [row["id"] for row in await execute(url, "SELECT id FROM events WHERE metadata IS NULL")]
    renewed: list[UUID] = []
    seen: list[int] = []
    writer, renewer, changer, reader, viewer = [await asyncpg.connect(url) for _ in range(5)]

    async def write() -> None:
        identity = uuid4()
        vector = str([random.random() for _ in range(SMALL)])
        await writer.execute(
            "INSERT INTO events (id, content, embedding) VALUES ($1, '{\"new\": true}', $2::text::vector)",
            identity,
            vector,
        )
        written.append(identity)

    async def renew() -> None:
        """Write rows that the migration writes, too."""
        renewed.append(old[len(renewed) % len(old)])
        await renewer.execute("UPDATE events SET metadata = '{\"o\": 1}' WHERE id = $1", renewed[-1])

    async def change() -> None:
        if len(written) > len(changed) + 20:
            one, other = written[len(changed)], written[-1]
            assert await changer.execute("UPDATE events SET metadata = '{\"c\": 1}' WHERE id = $1", one) == "UPDATE 1"
            changed.add(one)
            if other not in changed and await changer.execute("DELETE FROM events WHERE id = $1", other) == "DELETE 1":
                deleted.append(other)
                written.remove(other)

    async def read() -> None:
        seen.append(await reader.fetchval("SELECT count(*) FROM events"))
        nearest = "SELECT id FROM events ORDER BY embedding <=> '[1, 0, 0, 0]' LIMIT 10"
        assert len(await reader.fetch(nearest)) == 10

    async def view() -> None:
        assert len(await viewer.fetch("SELECT id, content FROM recent ORDER BY timestamp DESC LIMIT 10")) == 10

    async with going_on(write, renew, change, read, view):
        await asyncio.to_thread(migrate.upgrade, MigrationPlan(url=url, dimension=SMALL))
    for connection in (writer, renewer, changer, reader, viewer):
        await connection.close()

    # The heap, the vectors' index and the key are the very files of before.
    assert await execute(url, FILES, "events_historic") == before
    assert min(seen) >= ROW_COUNT
    [rows] = await execute(url, "SELECT count(*) FROM events")
    assert rows["count"] == ROW_COUNT + len(written)
    new = await execute(url, "SELECT id, metadata FROM events WHERE content ? 'new'")
    kept = {row["id"]: row["metadata"] for row in new}
    assert kept.keys() == set(written)
    assert {one for one, metadata in kept.items() if metadata == '{"c": 1}'} == changed - set(deleted)
    one_of_ours = "SELECT FROM events WHERE metadata = '{\"o\": 1}'"
    assert len(await execute(url, one_of_ours)) == len(set(renewed))
    wrong = "SELECT FROM events WHERE embedding_state = 'EMBEDDED' AND embedding IS NULL OR metadata IS NULL"
    assert await execute(url, wrong) == []
    await asyncio.to_thread(migrate.check, MigrationPlan(url=url, dimension=SMALL))


async def test_an_empty_database_has_months_and_no_historic_partition(new_database: NewDatabase) -> None:
    url = await migrated(await new_database())

    names = [row["name"] for row in await execute(url, PARTS)]

    assert len(names) == 5
    assert all(name.startswith("events_y2") for name in names)
    await execute(url, "INSERT INTO events (id, content) VALUES (gen_random_uuid(), '{}')")


PARTS = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY name"


async def test_rows_of_later_months_get_partitions_of_their_own(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, OLD[0])
    late = ["2099-12-31T23:59:59.999999Z", "2100-01-01T00:00:00Z", "infinity", "2040-02-29T12:00:00Z"]
    for number, time in enumerate(late, start=100):
        await execute(
            url,
            "INSERT INTO events (id, timestamp, content, embedding) "
            "SELECT $1, $2::text::timestamptz, content, embedding FROM events WHERE id = $3",
            UUID(int=number),
            time,
            UUID(int=1),
        )

    await migrated(url)

    places = "SELECT id, tableoid::regclass::text AS place, embedding_state FROM events ORDER BY id"
    rows = {row["id"].int: (row["place"], row["embedding_state"]) for row in await execute(url, places)}
    assert {rows[number][0] for number in (1, 2, 3, 4)} == {"events_historic"}
    assert [rows[number][0] for number in range(100, 104)] == [
        "events_y2099m12", "events_from_2100", "events_from_2100", "events_y2040m02",
    ]  # fmt: skip
    assert rows[100][1] == "EMBEDDED"
    assert len(await execute(url, "SELECT FROM event_keys")) == len(ROWS) + len(late)
    await check(url)
    await downgrade(url, "0003")
    assert len(await execute(url, "SELECT FROM events")) == len(ROWS) + len(late)
    await migrated(url)
    assert len(await execute(url, "SELECT FROM events_y2040m02")) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "VALIDATE CONSTRAINT",
        "RENAME TO events_historic",
        "ATTACH PARTITION events_historic",
        "ATTACH PARTITION events_y20",
        "CREATE OR REPLACE VIEW",
        "CREATE TRIGGER events_words",
        "NOT EXISTS (SELECT FROM event_keys",
    ],
)
async def test_a_migration_that_died_in_the_middle_goes_on(new_database: NewDatabase, statement: str) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "an operator's own things"))
    await execute(url, "INSERT INTO events (id, timestamp, content) VALUES (gen_random_uuid(), '2040-01-01', '{}')")
    await asyncio.to_thread(migrate.upgrade, plan(url), "0003")
    await execute_script(
        url,
        f"""
        CREATE FUNCTION die() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            IF current_query() LIKE '%{statement}%' THEN RAISE 'died'; END IF; END $$;
        CREATE FUNCTION die_writing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF current_query() LIKE '%{statement}%' THEN RAISE 'died'; END IF; RETURN NULL; END $$;
        CREATE TRIGGER dies BEFORE INSERT ON event_keys EXECUTE FUNCTION die_writing();
        """,
    )
    await execute(url, "CREATE EVENT TRIGGER dies ON ddl_command_start EXECUTE FUNCTION die()")
    with pytest.raises(SchemaError, match="died"):
        await migrated(url)
    await execute(url, "DROP EVENT TRIGGER dies")
    await execute(url, "DROP TRIGGER dies ON event_keys")
    # Between the runs all rows are there, and those of this month can be written.
    assert len(await execute(url, "SELECT FROM recent")) == len(ROWS) + 1
    await execute(url, "INSERT INTO events (id, content) VALUES (gen_random_uuid(), '{}')")

    await migrated(url)

    assert len(await execute(url, "SELECT FROM recent")) == len(ROWS) + 2
    assert len(await execute(url, "SELECT FROM event_keys")) == len(ROWS) + 2
    assert len(await execute(url, "SELECT FROM events_historic")) == len(ROWS) + 1
    await check(url)


async def test_going_back_keeps_the_rows_of_all_partitions_and_their_words(new_database: NewDatabase) -> None:
    url = await migrated(await new_database())
    await execute_script(
        url,
        """
        INSERT INTO events (id, timestamp, content, terms, term_counts, term_total)
        SELECT gen_random_uuid(), date_trunc('month', now()) + n * interval '20 days', '{}', ARRAY[7, n], ARRAY[1, 2], 3
        FROM generate_series(0, 5) AS n
        """,
    )
    counted = "SELECT sum(documents) AS documents, sum(length) AS length FROM lexical_changes"
    before = await execute(url, counted)
    rows = await execute(url, "SELECT * FROM events ORDER BY id")

    await downgrade(url, "0003")
    assert await execute(url, "SELECT * FROM events ORDER BY id") == rows
    await migrated(url)

    assert await execute(url, "SELECT * FROM events ORDER BY id") == rows
    assert await execute(url, counted) == before
    await execute(url, "DELETE FROM events")
    assert [tuple(row) for row in await execute(url, counted)] == [(0, 0)]


async def test_the_runbook_splits_a_month_off_the_historic_partition(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, OLD[0])
    await migrated(url)
    [bound] = await execute(url, "SELECT date_trunc('month', now() + interval '1 day') + interval '1 month' AS is")
    insert = "INSERT INTO events (id, timestamp, content) VALUES (gen_random_uuid(), $1, '{}')"
    await execute(url, insert, bound["is"] - timedelta(hours=1))
    text = (migrate.migrations_folder() / "README.md").read_text()
    script = re.findall(r"```\n(BEGIN;\n.*?COMMIT;\n)```", text, re.DOTALL)[0]
    month, following = later(bound["is"], -1), bound["is"]
    meant = {"2026-10": f"{month:%Y-%m}", "2026-11": f"{following:%Y-%m}"}
    # Both at once: what stands for the one may be how the other is written.
    script = re.sub("|".join(meant), lambda written: meant[written[0]], script)
    script = script.replace("events_y2026m10", f"events_y{month:%Ym%m}")

    await execute_script(url, script)

    [rows] = await execute(
        url,
        f"SELECT (SELECT count(*) FROM events) AS all, (SELECT count(*) FROM events_y{month:%Ym%m}) AS split, "
        "(SELECT count(*) FROM lexical_changes) AS changes",
    )
    assert tuple(rows) == (len(ROWS) + 1, 1, 0)
    await check(url)
