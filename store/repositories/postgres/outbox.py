"""Events that wait for their embedding, in PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from store.database import Connection, Database
from store.events import EmbeddingSpace
from store.repositories.outbox import Backlog, Claim, ClaimedEvent, Settled
from store.repositories.postgres.exclusively import CLAIMS_LOCK
from store.repositories.postgres.rows import Row, object_of
from store.repositories.postgres.spaces import hold_space

# A claim is row locks, held in a transaction that stays open while the batch is embedded. A lease (claimed until, by
# whom) would cost a second new version of every row, indexes included, and would have to run out before anybody could
# take over from a store that was killed; a lock ends with its connection. The price is that an update of a claimed
# event, or a change of the schema, waits for the embedder: its calls are bounded for that. A machine that vanishes
# leaves its connection behind; this setting ends it.
BEGIN_CLAIM = "SET LOCAL idle_in_transaction_session_timeout = '120s'"

# Not while somebody waits to have the table to himself.
MAY_CLAIM = "SELECT pg_try_advisory_xact_lock_shared($1)"

CLAIM = """
    SELECT id, timestamp, content, embedding_attempts
    FROM events
    WHERE embedding_state = 'PENDING' AND (embedding_retry_time IS NULL OR embedding_retry_time <= now())
    ORDER BY timestamp, id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
"""

SETTLE = """
    UPDATE events
    SET embedding_state = $3, embedding = $4, embedding_attempts = $5, embedding_error = $6,
        embedding_retry_time = clock_timestamp() + make_interval(secs => $7)
    WHERE id = $1 AND timestamp = $2
"""

# Counts of two partial indexes, and the first row of one.
BACKLOG = """
    SELECT (SELECT count(*) FROM events WHERE embedding_state = 'PENDING') AS pending,
           (SELECT count(*) FROM events WHERE embedding_state = 'FAILED') AS failed,
           (SELECT coalesce(update_time, timestamp) FROM events
            WHERE embedding_state = 'PENDING' ORDER BY timestamp, id LIMIT 1) AS oldest_pending_time
"""

RETRY_FAILED = """
    UPDATE events
    SET embedding_state = 'PENDING', embedding_attempts = 0, embedding_error = NULL, embedding_retry_time = NULL
    WHERE embedding_state = 'FAILED' AND ($1::uuid[] IS NULL OR id = ANY($1))
"""

_SWITCH = "backfill_paused"

IS_PAUSED = "SELECT value FROM switches WHERE name = $1"

PAUSE = """
    INSERT INTO switches (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, update_time = now()
"""


class PostgresOutbox:
    """See Outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def claim(self, limit: int) -> AsyncIterator[Claim]:
        """See Outbox."""
        async with self._database.transaction() as connection:
            await connection.execute(BEGIN_CLAIM)
            may_claim = await connection.fetchval(MAY_CLAIM, CLAIMS_LOCK)
            yield PostgresClaim(connection, await connection.fetch(CLAIM, limit) if may_claim else [])

    async def backlog(self) -> Backlog:
        """See Outbox."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(BACKLOG)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one
        return Backlog(**row)

    async def retry_failed(self, ids: Sequence[UUID]) -> int:
        """See Outbox."""
        async with self._database.connection() as connection:
            command = await connection.execute(RETRY_FAILED, list(ids) or None)
        return int(command.split()[-1])  # "UPDATE 3"

    async def is_paused(self) -> bool:
        """See Outbox."""
        async with self._database.connection() as connection:
            return await connection.fetchval(IS_PAUSED, _SWITCH) is True

    async def pause(self, paused: bool) -> None:
        """See Outbox."""
        async with self._database.connection() as connection:
            await connection.execute(PAUSE, _SWITCH, paused)


class PostgresClaim:
    """See Claim."""

    def __init__(self, connection: Connection, rows: Sequence[Row]) -> None:
        self._connection = connection
        self._rows = rows
        self.events = [
            ClaimedEvent(place, row["id"], object_of(row["content"]), row["embedding_attempts"])
            for place, row in enumerate(rows)
        ]

    async def settle(self, settled: Sequence[Settled], space: EmbeddingSpace | None) -> None:
        """See Claim."""
        rows = [self._rows[one.event.place] for one in settled]
        await self._connection.executemany(
            SETTLE,
            [
                (row["id"], row["timestamp"], one.state.value, one.embedding, one.attempts, one.error, one.retry_after)
                for row, one in zip(rows, settled, strict=True)
            ],
        )
        if space is not None:
            await hold_space(self._connection, space, written=[row["id"] for row in rows])
