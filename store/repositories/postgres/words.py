"""Events that no search finds by words yet, in PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from store.database import Connection, Database
from store.events import Words
from store.repositories.postgres.rows import Row, object_of
from store.repositories.words import WordsClaim

CLAIM_WITHOUT_WORDS = """
    SELECT id, timestamp, timestamp::text AS timestamp_text, content
    FROM events WHERE terms IS NULL
    ORDER BY timestamp, id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
"""

COUNT_WITHOUT_WORDS = "SELECT count(*) FROM events WHERE terms IS NULL"

# One statement for all rows, because each that writes leaves a row in lexical_changes; and JSON, because arrays of
# arrays of different lengths cannot be bound. The range of times says which partitions need not be looked at.
FILL = """
    UPDATE events AS e
    SET terms = filled.terms, term_counts = filled.counts, term_total = filled.total
    FROM jsonb_to_recordset($1) AS filled (id uuid, "timestamp" text, terms bigint[], counts integer[], total integer)
    WHERE e.id = filled.id AND e.timestamp = filled.timestamp::timestamptz AND e.timestamp BETWEEN $2 AND $3
"""


class PostgresWords:
    """See WordsRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def claim_without_words(self, limit: int) -> AsyncIterator[WordsClaim]:
        """See WordsRepository."""
        async with self._database.transaction() as connection:
            yield PostgresWordsClaim(connection, await connection.fetch(CLAIM_WITHOUT_WORDS, limit))

    async def count_without_words(self) -> int:
        """See WordsRepository."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(COUNT_WITHOUT_WORDS))


class PostgresWordsClaim:
    """See WordsClaim."""

    def __init__(self, connection: Connection, rows: Sequence[Row]) -> None:
        self._connection = connection
        self._rows = rows
        self.contents = [object_of(row["content"]) for row in rows]

    async def fill(self, words: Sequence[Words]) -> None:
        """See WordsClaim."""
        filled = [
            {
                "id": str(row["id"]),
                "timestamp": row["timestamp_text"],
                "terms": one.terms,
                "counts": one.counts,
                "total": one.total,
            }
            for row, one in zip(self._rows, words, strict=True)
        ]
        await self._connection.execute(FILL, filled, self._rows[0]["timestamp"], self._rows[-1]["timestamp"])
