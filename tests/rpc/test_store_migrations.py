"""Migrations on real databases: empty ones, and those of the monolith in the shapes that installations have."""

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from store import migrate
from store.errors import SchemaError
from store.migrate import MigrationPlan
from store.tables import build_metadata
from tests.conftest import NewDatabase
from tests.fixtures_store import DIMENSION, execute, migrated, plan, text_vector

VECTOR = str(text_vector("old").tolist())

GRAPH = """
    CREATE TABLE nodes (
        node_id uuid PRIMARY KEY, node_type text NOT NULL, label text, properties jsonb DEFAULT '{}',
        created_at timestamptz DEFAULT now()
    );
    CREATE INDEX idx_nodes_type ON nodes (node_type);
    CREATE TABLE edges (
        edge_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), source_node_id uuid NOT NULL,
        target_node_id uuid NOT NULL, relation_type text NOT NULL, properties jsonb, created_at timestamptz
    );
    CREATE INDEX ON edges (source_node_id);
    INSERT INTO nodes (node_id, node_type, label) VALUES (gen_random_uuid(), 'person', 'Ada');
    INSERT INTO edges (source_node_id, target_node_id, relation_type, properties)
        VALUES (gen_random_uuid(), gen_random_uuid(), 'knows', '{"since": 1843}');
"""


@dataclass(frozen=True)
class Old:
    """A way in which the monolith's table of events looks."""

    name: str
    table: str
    indexes: str = ""
    graph: str = ""


COLUMNS = f"""
    id uuid NOT NULL, timestamp timestamptz NOT NULL DEFAULT now(), content jsonb NOT NULL,
    metadata jsonb DEFAULT '{{}}', embedding vector({DIMENSION})
"""

OLD = [
    Old("key of id", f"{COLUMNS}, PRIMARY KEY (id)", graph=GRAPH),
    Old("key of id and timestamp", f"{COLUMNS}, PRIMARY KEY (id, timestamp)"),
    Old("key of another name", f'{COLUMNS}, CONSTRAINT "the Key" PRIMARY KEY (timestamp, id)', graph=GRAPH),
    Old("no key", COLUMNS),
    Old("times", f"{COLUMNS}, created_at timestamptz, updated_at timestamptz NOT NULL, PRIMARY KEY (id)"),
    Old("times without zone", f"{COLUMNS}, created_at timestamp NOT NULL DEFAULT now(), PRIMARY KEY (id)"),
    Old(
        "indexes of other names",
        f"{COLUMNS}, PRIMARY KEY (id)",
        """
        CREATE INDEX idx_ts ON events (timestamp);
        CREATE INDEX "Meta" ON events USING gin (metadata jsonb_path_ops);
        CREATE INDEX events_hnsw ON events USING hnsw (embedding vector_cosine_ops) WITH (m = 8);
        """,
    ),
    Old(
        "our names for other indexes",
        f"{COLUMNS}, PRIMARY KEY (id)",
        """
        CREATE INDEX ix_events_metadata ON events USING gin (metadata);
        CREATE INDEX ix_events_embedding ON events USING hnsw (embedding vector_l2_ops);
        CREATE INDEX ix_events_timestamp ON events (timestamp DESC);
        """,
    ),
    Old(
        "an operator's own things",
        f"{COLUMNS}, note text, tenant text NOT NULL DEFAULT 'us', PRIMARY KEY (id)",
        """
        CREATE INDEX ON events (tenant);
        CREATE VIEW recent AS SELECT id, metadata, embedding FROM events;
        CREATE TABLE of_mine (id int PRIMARY KEY, event uuid);
        """,
    ),
]

#: Identity, timestamp, metadata, whether it has a vector.
ROWS: list[tuple[UUID, str, str | None, bool]] = [
    (UUID(int=1), "2024-01-01T00:00:00Z", '{"a": 1}', True),
    (UUID(int=2), "2024-02-01T00:00:00.123456Z", None, False),
    (UUID(int=3), "0001-01-01T00:00:00Z", "null", True),
    (UUID(int=4), "2025-01-01T00:00:00Z", "[1, 2]", False),
]


async def adopt(url: str, old: Old) -> None:
    """Make the old tables, with rows."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            f"CREATE EXTENSION vector; CREATE TABLE events ({old.table}); {old.indexes} {old.graph}"
        )
        for identity, timestamp, metadata, has_vector in ROWS:
            await connection.execute(
                "INSERT INTO events (id, timestamp, content, metadata, embedding) "
                'VALUES ($1, $2::text::timestamptz, \'{"text": "old"}\', $3::text::jsonb, $4::text::vector)'
                if "updated_at" not in old.table
                else "INSERT INTO events (id, timestamp, content, metadata, embedding, updated_at, created_at) "
                'VALUES ($1, $2::text::timestamptz, \'{"text": "old"}\', $3::text::jsonb, $4::text::vector, '
                "'2026-02-02', CASE WHEN $2 > '2024-01-15' THEN '2026-01-01'::timestamptz END)",
                identity,
                timestamp,
                metadata,
                VECTOR if has_vector else None,
            )
    finally:
        await connection.close()


async def check(url: str) -> None:
    """`alembic check`: raises unless it is clean."""
    await asyncio.to_thread(migrate.check, plan(url))


async def downgrade(url: str, revision: str) -> None:
    """Migrate down."""
    await asyncio.to_thread(migrate.downgrade, plan(url), revision)


async def differences(url: str) -> list[Any]:
    """All differences between a database and the metadata, without the filter that spares what others added."""

    async def connect() -> Any:
        return await asyncpg.connect(url)

    def compare(connection: Connection) -> list[Any]:
        found: list[Any] = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_server_default": True}), build_metadata(DIMENSION)
        )
        return [one for one in found if getattr(one[1], "name", "") != "alembic_version"]

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        result = await connection.run_sync(compare)
    await engine.dispose()
    return result


async def test_an_empty_database_gets_exactly_what_the_metadata_says(new_database: NewDatabase) -> None:
    url = await migrated(await new_database())

    await check(url)
    assert await differences(url) == []
    assert await migrated(url) == url  # again, and nothing to do


async def test_revisions_go_down_and_up_again_on_an_empty_database(new_database: NewDatabase) -> None:
    url = await migrated(await new_database())

    await downgrade(url, "0001")
    await migrated(url)

    assert await differences(url) == []


@pytest.mark.parametrize("old", OLD, ids=lambda old: old.name)
async def test_an_old_database_is_adopted_with_every_row(new_database: NewDatabase, old: Old) -> None:
    url = await new_database()
    await adopt(url, old)
    before = await execute(url, "SELECT id, timestamp, content, embedding::text FROM events ORDER BY id")

    await migrated(url)

    await check(url)
    assert await execute(url, "SELECT id, timestamp, content, embedding::text FROM events ORDER BY id") == before
    rows = await execute(url, "SELECT * FROM events ORDER BY id")
    assert [row["metadata"] for row in rows] == ['{"a": 1}', "{}", "{}", "[1, 2]"]
    assert [row["embedding_state"] for row in rows] == ["EMBEDDED", "PENDING", "EMBEDDED", "PENDING"]
    keys = await execute(url, "SELECT event_id, timestamp, request_id FROM event_keys ORDER BY event_id")
    assert [tuple(key) for key in keys] == [(row["id"], row["timestamp"], None) for row in rows]
    [key] = await execute(
        url,
        "SELECT pg_get_constraintdef(oid) AS is FROM pg_constraint "
        "WHERE conrelid = 'events'::regclass AND contype = 'p'",
    )
    assert key["is"] == 'PRIMARY KEY (id, "timestamp")'
    assert len(await execute(url, "SELECT FROM pg_indexes WHERE indexdef LIKE '%hnsw%vector_cosine_ops%'")) == 1
    assert len(await execute(url, "SELECT FROM pg_indexes WHERE indexdef LIKE '%jsonb_path_ops%'")) == 1


@pytest.mark.parametrize("old", OLD, ids=lambda old: old.name)
async def test_an_adopted_database_goes_back_and_forth_with_every_row(new_database: NewDatabase, old: Old) -> None:
    url = await new_database()
    await adopt(url, old)
    await migrated(url)
    before = await execute(url, "SELECT * FROM events ORDER BY id")

    await downgrade(url, "0001")
    between = await execute(url, "SELECT id, timestamp, content, metadata, embedding FROM events ORDER BY id")
    # The monolith can write again.
    await execute(url, "INSERT INTO events (id, content, metadata) VALUES (gen_random_uuid(), '{}', NULL)")
    await execute(url, "DELETE FROM events WHERE content = '{}'")
    await migrated(url)

    assert [row["id"] for row in between] == [row["id"] for row in before]
    assert await execute(url, "SELECT * FROM events ORDER BY id") == before
    await check(url)


async def test_times_of_the_old_table_are_kept(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "times"))

    await migrated(url)

    rows = await execute(
        url,
        "SELECT create_time = coalesce(created_at, timestamp) AS created, update_time = updated_at AS updated, "
        "created_at IS NULL AS without FROM events",
    )
    assert all(row["created"] and row["updated"] for row in rows)
    assert {row["without"] for row in rows} == {True, False}
    # A new store knows nothing of the old columns and can still write.
    await execute(url, "INSERT INTO events (id, content) VALUES (gen_random_uuid(), '{\"n\": 1}')")


async def test_times_without_zone_are_taken_for_utc(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "times without zone"))
    await execute(url, "UPDATE events SET created_at = '2025-05-05 05:05:05'")
    await execute(url, f"ALTER DATABASE \"{urlsplit(url).path[1:]}\" SET TimeZone = 'Asia/Tokyo'")

    await migrated(url)

    assert await execute(url, "SELECT FROM events WHERE create_time <> '2025-05-05 05:05:05+00'") == []


async def test_an_equal_index_is_renamed_and_not_built_again(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "indexes of other names"))

    await migrated(url)

    names = {
        row["indexname"] for row in await execute(url, "SELECT indexname FROM pg_indexes WHERE tablename = 'events'")
    }
    assert names == {
        "events_pkey", "idx_ts", "ix_events_metadata", "ix_events_embedding", "ix_events_timestamp_id",
        "ix_events_pending",
    }  # fmt: skip
    [kept] = await execute(url, "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_events_embedding'")
    assert "m='8'" in kept["indexdef"]


async def test_what_an_operator_added_stays(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "an operator's own things"))

    await migrated(url)
    await downgrade(url, "0001")
    await migrated(url)

    await execute(url, "SELECT note, tenant FROM events")
    await execute(url, "SELECT * FROM recent")
    await execute(url, "SELECT * FROM of_mine")
    await check(url)


async def test_an_id_that_the_monolith_stored_twice_keeps_both_rows(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "key of id and timestamp"))
    await execute(
        url,
        "INSERT INTO events (id, timestamp, content) VALUES ($1, '2026-01-01', '{\"text\": \"again\"}')",
        UUID(int=1),
    )

    await migrated(url)

    assert len(await execute(url, "SELECT FROM events")) == len(ROWS) + 1
    [key] = await execute(url, "SELECT timestamp FROM event_keys WHERE event_id = $1", UUID(int=1))
    assert key["timestamp"].year == 2026


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


async def execute_script(url: str, script: str) -> None:
    """Run many statements."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()
