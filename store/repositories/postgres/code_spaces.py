"""Which models made the vectors of code, in PostgreSQL."""

from store.code.stored import CodeSpaces
from store.database import Connection, Database
from store.errors import CodeDimensionError, CodeSpaceMismatchError
from store.events import EmbeddingSpace
from store.repositories.postgres.rows import space_of
from store.repositories.postgres.spaces import RECORDED, register
from store.spaces import CODE_COLUMN, CODE_TEXT_COLUMN

# Writers share it; nobody exchanges the columns between the check and the rows.
HOLD = "LOCK TABLE code_chunks IN ROW EXCLUSIVE MODE"

DIMENSIONS = """
    SELECT 'code_chunks.' || attname AS column_name, atttypmod AS dimension FROM pg_attribute
    WHERE attrelid = 'code_chunks'::regclass AND attname IN ('embedding_text', 'embedding_code')
"""


class PostgresCodeSpace:
    """See RecordedSpace: that of one column."""

    def __init__(self, database: Database, column: str) -> None:
        self._database = database
        self._column = column

    async def space(self) -> EmbeddingSpace | None:
        """See RecordedSpace."""
        async with self._database.connection() as connection:
            return space_of(await connection.fetchrow(RECORDED, self._column))


async def recorded_spaces(connection: Connection) -> CodeSpaces | None:
    """The spaces of both columns; None unless both are recorded."""
    text = space_of(await connection.fetchrow(RECORDED, CODE_TEXT_COLUMN))
    code = space_of(await connection.fetchrow(RECORDED, CODE_COLUMN))
    return None if text is None or code is None else CodeSpaces(text, code)


async def hold_code_spaces(connection: Connection, spaces: CodeSpaces) -> None:
    """Check that both spaces are those of the stored vectors, and record them when there are none.

    Raises CodeDimensionError and CodeSpaceMismatchError. Holds until the end of the transaction.
    """
    await connection.execute(HOLD)
    dimensions = {row["column_name"]: row["dimension"] for row in await connection.fetch(DIMENSIONS)}
    for column, space in ((CODE_TEXT_COLUMN, spaces.text), (CODE_COLUMN, spaces.code)):
        if dimensions[column] != space.dimension:
            raise CodeDimensionError(dimensions[column], space)
        stored = space_of(await connection.fetchrow(RECORDED, column)) or await register(connection, space, column)
        if (stored.fingerprint, stored.dimension) != (space.fingerprint, space.dimension):
            raise CodeSpaceMismatchError(column, stored, space)
