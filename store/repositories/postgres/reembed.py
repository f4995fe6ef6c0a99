"""The vectors of a second model beside those in use, in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from store.database import Connection, Database
from store.errors import EmbeddingSpaceMismatchError, ReembedRunningError
from store.events import EmbeddingSpace, Json, ReembedPhase, Vector
from store.repositories.postgres.concurrent_index import IndexPlan, ensure_index
from store.repositories.postgres.reembed_columns import (
    NEXT_INDEX,
    SPACES,
    UNFILLED_INDEX,
    add_column,
    drop_column,
    roll_back_columns,
    swap_columns,
    unfilled_condition,
)
from store.repositories.postgres.rows import Row, object_of, space_of
from store.repositories.postgres.status import PARTITIONS
from store.repositories.reembed import FilledEvent, OtherColumn, ReembedCounts, ReembedJob, RowKey, UnfilledEvent
from store.spaces import EVENTS_COLUMN

#: Name of the advisory lock that keeps two of these apart: "reembed" in ASCII.
_LOCK = 0x7265656D626564

#: Tries at it, half a second apart: the connection of a process that was killed ends a moment after it.
_LOCK_TRIES = 10

# In one statement: a swap between two would show the job with the spaces of after it.
JOB = """
    SELECT job.phase, job.position_timestamp::text AS timestamp, job.position_id AS id, job.recall, s.*
    FROM reembed_job AS job CROSS JOIN embedding_spaces AS s
"""

SET_PHASE = "UPDATE reembed_job SET phase = $1, recall = coalesce($2, recall), update_time = now()"

SET_POSITION = (
    "UPDATE reembed_job SET position_timestamp = $1::text::timestamptz, position_id = $2, update_time = now()"
)

# It names `events`, so that to the end of the transaction nobody can put another column in the place of ours.
FINGERPRINT = """
    SELECT s.*, EXISTS (SELECT FROM events) FROM embedding_spaces s WHERE column_name = $1
"""

COUNTS = """
    SELECT count(*) AS embedded, count({column}) AS filled, count({refused}) AS refused
    FROM events WHERE embedding_state = 'EMBEDDED'
"""

UNFILLED = """
    SELECT id, timestamp::text AS timestamp, xmin::text AS version, content
    FROM events
    WHERE {unfilled} AND ($1::text IS NULL OR (timestamp, id) > ($1::text::timestamptz, $2::uuid))
    ORDER BY events.timestamp, id
    LIMIT $3
"""

# xmin is another one after every change of the row, whoever made it.
FILL = """
    UPDATE events SET {column} = $4{refused}
    WHERE id = $1 AND timestamp = $2::text::timestamptz AND xmin::text = $3 AND {unfilled}
"""

INDEX_PROGRESS = """
    SELECT coalesce(sum(greatest(blocks_done, tuples_done)), 0)::bigint,
           coalesce(sum(greatest(blocks_total, tuples_total)), 0)::bigint
    FROM pg_stat_progress_create_index WHERE pid = $1
"""

# Ids begin with the time when the store made them: their middle is anything.
SAMPLE = """
    SELECT content FROM events
    WHERE embedding_state = 'EMBEDDED' AND embedding_next IS NOT NULL ORDER BY md5(id::text) LIMIT $1
"""

NEAREST = """
    SELECT embedding_next <=> $1 AS distance FROM events
    WHERE embedding_state = 'EMBEDDED' AND embedding_next IS NOT NULL
    ORDER BY embedding_next <=> $1 LIMIT $2
"""

# As a search of the store does it; scans of the whole table and sorts are off, because a small one would get them.
BY_INDEX = """
    SELECT set_config('hnsw.ef_search', '100', true), set_config('hnsw.iterative_scan', 'strict_order', true),
           set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)
"""
EXACTLY = """
    SELECT set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true),
           set_config('enable_indexscan', 'off', true)
"""


class PostgresReembed:
    """See ReembedRepository."""

    def __init__(self, database: Database, session: Connection) -> None:
        """`session` holds the advisory lock, and makes what lasts: when it ends, so does our right to go on."""
        self._database = database
        self._session = session

    @classmethod
    @asynccontextmanager
    async def alone(cls, database: Database) -> AsyncIterator[Self]:
        """Nobody else changes the model to the end of the block. Raises ReembedRunningError when somebody does.

        `database` must not be shared: the settings of one of its connections are changed.
        """
        async with database.connection() as session:
            # A server that builds an index does not notice by itself that its client was killed.
            await session.execute("SET client_connection_check_interval = '1s'")
            for _ in range(_LOCK_TRIES):
                if await session.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                    break
                await asyncio.sleep(0.5)
            else:
                raise ReembedRunningError
            try:
                yield cls(database, session)
            finally:
                if not session.is_closed():
                    await session.execute("SELECT pg_advisory_unlock($1)", _LOCK)

    async def job(self) -> ReembedJob | None:
        """See ReembedRepository."""
        return await read_job(self._database)

    async def begin(self, space: EmbeddingSpace) -> None:
        """See ReembedRepository."""
        await add_column(self._session, space)

    async def set_phase(self, phase: ReembedPhase, recall: float | None = None) -> None:
        """See ReembedRepository."""
        await self._session.execute(SET_PHASE, phase.value, recall)

    async def estimate(self) -> int:
        """See ReembedRepository."""
        async with self._database.connection() as connection:
            return sum(row["rows"] for row in await connection.fetch(PARTITIONS))

    async def counts(self, column: OtherColumn) -> ReembedCounts:
        """See ReembedRepository."""
        return await read_counts(self._database, column)

    async def unfilled(self, column: OtherColumn, after: RowKey | None, limit: int) -> list[UnfilledEvent]:
        """See ReembedRepository."""
        statement = UNFILLED.format(unfilled=unfilled_condition(column))
        key = (None, None) if after is None else (after.timestamp, after.id)
        async with self._database.connection() as connection:
            rows = await connection.fetch(statement, *key, limit)
        return [
            UnfilledEvent(RowKey(row["timestamp"], row["id"]), row["version"], object_of(row["content"]))
            for row in rows
        ]

    async def fill(
        self,
        column: OtherColumn,
        filled: Sequence[FilledEvent],
        space: EmbeddingSpace,
        position: RowKey | None = None,
    ) -> None:
        """See ReembedRepository."""
        statement = FILL.format(
            column=column,
            refused=", embedding_next_error = $5" if column is OtherColumn.NEXT else "",
            unfilled=unfilled_condition(column),
        )
        rows: list[tuple[object, ...]] = [
            (one.event.key.id, one.event.key.timestamp, one.event.version, one.vector) for one in filled
        ]
        if column is OtherColumn.NEXT:
            rows = [(*row, one.error) for row, one in zip(rows, filled, strict=True)]
        async with self._database.transaction() as connection:
            kept = space_of(await connection.fetchrow(FINGERPRINT, SPACES[column]))
            if kept is None or kept.fingerprint != space.fingerprint:
                raise EmbeddingSpaceMismatchError(kept or space, space)
            # asyncpg sends all rows at once and waits once.
            await connection.executemany(statement, rows)
            if position is not None:
                await connection.execute(SET_POSITION, position.timestamp, position.id)

    async def index_unfilled(self, column: OtherColumn) -> None:
        """See ReembedRepository."""
        condition = unfilled_condition(column, refused=True)
        await ensure_index(self._session, IndexPlan(UNFILLED_INDEX, f'("timestamp", id) WHERE {condition}'))

    async def index_vectors(self) -> None:
        """See ReembedRepository."""
        definition = "USING hnsw (embedding_next vector_cosine_ops) WITH (m = 16, ef_construction = 64)"
        await ensure_index(self._session, IndexPlan(NEXT_INDEX, definition))

    async def index_progress(self) -> tuple[int, int]:
        """See ReembedRepository."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(INDEX_PROGRESS, self._session.get_server_pid())
        return (0, 0) if row is None else (row[0], row[1])

    async def sample(self, limit: int) -> list[Json]:
        """See ReembedRepository."""
        async with self._database.connection() as connection:
            return [object_of(row["content"]) for row in await connection.fetch(SAMPLE, limit)]

    async def nearest(self, vector: Vector, limit: int) -> tuple[list[float], list[float]]:
        """See ReembedRepository."""
        async with self._database.transaction() as connection:
            await connection.execute(BY_INDEX)
            by_index = await connection.fetch(NEAREST, vector, limit)
            await connection.execute(EXACTLY)
            exact = await connection.fetch(NEAREST, vector, limit)
        return [row["distance"] for row in by_index], [row["distance"] for row in exact]

    async def swap(self, most_unfilled: int) -> bool:
        """See ReembedRepository."""
        return await swap_columns(self._session, most_unfilled)

    async def roll_back(self, most_unfilled: int) -> bool:
        """See ReembedRepository."""
        return await roll_back_columns(self._session, most_unfilled)

    async def drop(self, column: OtherColumn) -> None:
        """See ReembedRepository."""
        await drop_column(self._session, column)


async def read_job(database: Database) -> ReembedJob | None:
    """The change of model that is under way, whoever is at it."""
    async with database.connection() as connection:
        rows = await connection.fetch(JOB)
    if not rows:
        return None
    row, spaces = rows[0], {one["column_name"]: space_of(one) for one in rows}
    phase = ReembedPhase(row["phase"])
    space, other_space = spaces.get(EVENTS_COLUMN), spaces.get(SPACES[OtherColumn.of(phase)])
    assert space is not None and other_space is not None  # noqa: S101, PT018 - written in one transaction with the job
    return ReembedJob(phase, space, other_space, _position(row), row["recall"])


async def read_counts(database: Database, column: OtherColumn) -> ReembedCounts:
    """See ReembedRepository.counts."""
    refused = "embedding_next_error" if column is OtherColumn.NEXT else "NULL"
    async with database.connection() as connection:
        row = await connection.fetchrow(COUNTS.format(column=column, refused=refused))
    assert row is not None  # noqa: S101 - an aggregate has one
    return ReembedCounts(row["embedded"], row["filled"], row["refused"])


def _position(row: Row) -> RowKey | None:
    return None if row["timestamp"] is None else RowKey(row["timestamp"], row["id"])
