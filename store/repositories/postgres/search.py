"""Search in PostgreSQL."""

from servicekit import context
from servicekit.errors import DeadlineExceededError
from store.database import Database
from store.events import EmbeddingSpace, EventFilter, SearchHit, Vector
from store.repositories.postgres.rows import conditions, event_of, has_unrecorded_vectors, space_of
from store.spaces import EVENTS_COLUMN, require_same_space

# The inner query is the shape that the HNSW index serves: ORDER BY the distance itself, LIMIT, nothing else. A zero
# vector, which an adopted table may hold, has no direction: its distance is NaN.
SEARCH = """
    SELECT *, 1 - distance AS similarity
    FROM (
        SELECT id, timestamp, content, metadata, embedding_state, create_time, update_time,
               embedding <=> $1 AS distance
        FROM events
        WHERE embedding_state = 'EMBEDDED'
          AND ($2::jsonb IS NULL OR metadata @> $2)
          AND ($3::timestamptz IS NULL OR timestamp >= $3)
          AND ($4::timestamptz IS NULL OR timestamp < $4)
        ORDER BY embedding <=> $1
        LIMIT $5
    ) AS nearest
    WHERE distance <> 'NaN'
    ORDER BY distance, id
"""

# One round trip for all that a search has to set and to know first. It names `events`, so that from here to the end
# of the transaction nobody can swap its columns under us.
BEGIN_SEARCH = """
    SELECT set_config('hnsw.ef_search', $1, true),
           set_config('hnsw.iterative_scan', 'strict_order', true),
           set_config('statement_timeout', $2, true),
           s.model_name, s.revision, s.dimension, s.fingerprint,
           s.column_name IS NULL AND EXISTS (SELECT FROM events WHERE embedding IS NOT NULL) AS has_unrecorded_vectors
    FROM (VALUES ($3::text)) AS wanted (column_name)
    LEFT JOIN embedding_spaces s USING (column_name)
"""

# Exact search: HNSW and btree scans off; bitmap scans of the metadata and time indexes stay.
WITHOUT_INDEX_SCAN = "SELECT set_config('enable_indexscan', 'off', true)"


class PostgresSearch:
    """See SearchRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def nearest(
        self, vector: Vector, space: EmbeddingSpace | None, matching: EventFilter, limit: int
    ) -> list[SearchHit]:
        """See SearchRepository.

        The index comes first. It looks at a bounded number of rows, so that a filter may leave it with less than was
        asked for; then all rows of the filter are compared.
        """
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(BEGIN_SEARCH, str(max(100, 2 * limit)), _statement_timeout(), EVENTS_COLUMN)
            stored = space_of(row)
            require_same_space(stored, space, has_unrecorded_vectors=has_unrecorded_vectors(row))
            if stored is None:
                return []
            arguments = (vector, *conditions(matching), limit)
            rows = await connection.fetch(SEARCH, *arguments)
            if len(rows) < limit:
                await connection.execute(WITHOUT_INDEX_SCAN)
                rows = await connection.fetch(SEARCH, *arguments)
        return [SearchHit(event_of(row), min(1.0, max(-1.0, row["similarity"]))) for row in rows]


def _statement_timeout() -> str:
    """Milliseconds that the caller's deadline leaves, as PostgreSQL wants them; 0 is no limit."""
    left = context.remaining()
    if left is None:
        return "0"
    if left <= 0:
        raise DeadlineExceededError("the deadline passed before the search began")
    return str(max(1, int(left * 1000)))
