"""All code out of the database, for another model."""

from dataclasses import dataclass

from store.database import Connection, Database
from store.events import EmbeddingSpace
from store.repositories.postgres.exclusively import with_lock_timeout
from store.repositories.postgres.rows import space_of
from store.repositories.postgres.spaces import RECORDED
from store.spaces import CODE_COLUMN, CODE_TEXT_COLUMN

COUNTS = """
    SELECT (SELECT count(*) FROM code_repositories) AS repositories, (SELECT count(*) FROM code_files) AS files,
           (SELECT count(*) FROM code_chunks) AS chunks
"""

# Waits for calls that write, and for searches; they go on with what is there then, which is nothing.
FORGET = [
    "TRUNCATE code_terms, code_chunks, code_files, code_repositories",
    "DELETE FROM edges WHERE namespace LIKE 'code/%'",
    "DELETE FROM nodes WHERE namespace LIKE 'code/%'",
    "DELETE FROM embedding_spaces WHERE column_name LIKE 'code\\_chunks.%'",
]
RESIZE = "ALTER TABLE code_chunks ALTER COLUMN {column} TYPE vector({dimension})"


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What there is of code."""

    repositories: int
    files: int
    chunks: int
    text_space: EmbeddingSpace | None
    code_space: EmbeddingSpace | None


async def code_facts(database: Database) -> CodeFacts:
    """What there is of code."""
    async with database.connection() as connection:
        [row] = await connection.fetch(COUNTS)
        text, code = [await connection.fetchrow(RECORDED, column) for column in (CODE_TEXT_COLUMN, CODE_COLUMN)]
    return CodeFacts(row["repositories"], row["files"], row["chunks"], space_of(text), space_of(code))


async def forget_code(database: Database, dimension: int) -> None:
    """Delete all repositories, their graphs, and what is known of the models; vectors have `dimension` from now on.

    Raises UnavailableError when others hold the tables for long.
    """
    async with database.connection() as connection:
        await with_lock_timeout(connection, lambda: _forget(connection, dimension), "code_chunks")


async def _forget(connection: Connection, dimension: int) -> None:
    for statement in FORGET:
        await connection.execute(statement)
    for column in ("embedding_text", "embedding_code"):
        await connection.execute(RESIZE.format(column=column, dimension=int(dimension)))
