"""What the tests of migrations share: databases of the monolith in the shapes that installations have."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from store import migrate
from store.tables import build_metadata
from tests.fixtures_store import DIMENSION, plan, text_vector

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
    """All differences between a database and the metadata, without the filter that spares what others added.

    Partitions are what the table is that they are of.
    """

    async def connect() -> Any:
        return await asyncpg.connect(url)

    def compare(connection: Connection) -> list[Any]:
        found: list[Any] = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_server_default": True}), build_metadata(DIMENSION)
        )
        parts = set(connection.execute(text("SELECT relname FROM pg_class WHERE relispartition")).scalars())
        return [one for one in found if _table_of(one) not in parts | {"alembic_version"}]

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        result = await connection.run_sync(compare)
    await engine.dispose()
    return result


def _table_of(difference: Any) -> str:
    what = difference[1]
    return str(getattr(what, "table", what).name) if hasattr(what, "name") else ""


async def execute_script(url: str, script: str) -> None:
    """Run many statements."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()
