"""Which model made the vectors, in PostgreSQL."""

from collections.abc import Iterable
from uuid import UUID

from store.database import Connection, Database
from store.events import EmbeddingSpace
from store.repositories.postgres.rows import has_unrecorded_vectors, object_of, space_of
from store.repositories.spaces import VectorSample
from store.spaces import EVENTS_COLUMN, require_same_space

# Names no partition of events: to plan for all of them costs more than to read this.
RECORDED = "SELECT model_name, revision, dimension, fingerprint FROM embedding_spaces WHERE column_name = $1"

# Both answers from one snapshot: a concurrent first write is seen with its space or not at all.
SPACE = """
    SELECT s.model_name, s.revision, s.dimension, s.fingerprint,
           s.column_name IS NULL
               AND EXISTS (SELECT FROM events WHERE embedding IS NOT NULL AND id <> ALL($2::uuid[]))
               AS has_unrecorded_vectors
    FROM (VALUES ($1::text)) AS wanted (column_name)
    LEFT JOIN embedding_spaces s USING (column_name)
"""

REGISTER_SPACE = """
    INSERT INTO embedding_spaces (column_name, model_name, revision, dimension, fingerprint)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING
"""

# Ids of the monolith are random, so the first ones by id are as good a sample as any, and the key's index finds them.
SAMPLE = """
    SELECT content, embedding FROM events
    WHERE embedding_state = 'EMBEDDED' ORDER BY id LIMIT $1
"""


class PostgresSpaces:
    """See SpaceRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def space(self) -> EmbeddingSpace | None:
        """See SpaceRepository."""
        async with self._database.connection() as connection:
            return space_of(await connection.fetchrow(RECORDED, EVENTS_COLUMN))

    async def sample(self, limit: int) -> list[VectorSample]:
        """See SpaceRepository."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(SAMPLE, limit)
        return [VectorSample(object_of(row["content"]), row["embedding"].to_numpy()) for row in rows]

    async def adopt_space(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """See SpaceRepository."""
        async with self._database.transaction() as connection:
            return await register(connection, space)


async def hold_space(connection: Connection, space: EmbeddingSpace, *, written: Iterable[UUID]) -> None:
    """Check that `space` is that of the stored vectors, those just `written` aside; record it when there are none."""
    row = await connection.fetchrow(RECORDED, EVENTS_COLUMN)
    if row is None:
        row = await connection.fetchrow(SPACE, EVENTS_COLUMN, list(written))
    stored = space_of(row)
    require_same_space(stored, space, has_unrecorded_vectors=stored is None and has_unrecorded_vectors(row))
    if stored is None:
        require_same_space(await register(connection, space), space, has_unrecorded_vectors=False)


async def register(connection: Connection, space: EmbeddingSpace, column: str = EVENTS_COLUMN) -> EmbeddingSpace:
    """Record the space unless there is one; of two at once, the second waits for the first. Returns what there is."""
    await connection.execute(
        REGISTER_SPACE,
        column,
        space.model_name,
        space.revision,
        space.dimension,
        space.fingerprint,
    )
    return space_of(await connection.fetchrow(RECORDED, column)) or space
