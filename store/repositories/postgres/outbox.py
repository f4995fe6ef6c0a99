"""Events that wait for their embedding, in PostgreSQL."""

from collections.abc import Sequence

from store.database import Database
from store.events import EmbeddingSpace
from store.repositories.outbox import PendingEvent, Settled
from store.repositories.postgres.rows import object_of
from store.repositories.postgres.spaces import hold_space

PENDING = """
    SELECT id, timestamp, content, update_time
    FROM events WHERE embedding_state = 'PENDING' ORDER BY timestamp, id LIMIT $1
"""

COUNT_PENDING = "SELECT count(*) FROM events WHERE embedding_state = 'PENDING'"

SETTLE = """
    UPDATE events SET embedding_state = $4, embedding = $5
    WHERE id = $1 AND timestamp = $2 AND update_time = $3 AND embedding_state = 'PENDING'
"""


class PostgresOutbox:
    """See Outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending(self, limit: int) -> list[PendingEvent]:
        """See Outbox."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(PENDING, limit)
        return [
            PendingEvent(row["id"], row["timestamp"], object_of(row["content"]), update_time=row["update_time"])
            for row in rows
        ]

    async def count_pending(self) -> int:
        """See Outbox."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(COUNT_PENDING))

    async def settle(self, settled: Sequence[Settled], space: EmbeddingSpace | None) -> None:
        """See Outbox."""
        rows = [
            (one.pending.id, one.pending.timestamp, one.pending.update_time, one.state.value, one.embedding)
            for one in settled
        ]
        async with self._database.transaction() as connection:
            await connection.executemany(SETTLE, rows)
            if space is not None:
                await hold_space(connection, space, written=(one.pending.id for one in settled))
