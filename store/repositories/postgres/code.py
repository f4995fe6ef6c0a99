"""Code in PostgreSQL: what is there, and who may change it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from servicekit.errors import AbortedError
from store.code.path_filter import PathFilter
from store.code.source import StoredChunk
from store.code.stored import CodeRepositoryFacts, SourceFile
from store.database import LOST, Database, translated
from store.repositories.postgres.code_indexing import PostgresIndexing
from store.repositories.postgres.code_rows import CHUNK_COLUMNS, CHUNK_TABLES, chunk_of, facts_of, file_of

# Of the session, so that no kill leaves a repository locked.
LOCK = "SELECT pg_try_advisory_lock(hashtextextended('trimem code ' || $1, 0))"
UNLOCK = "SELECT pg_advisory_unlock_all()"

_RELEASE_SECONDS = 5

KNOWN = "SELECT EXISTS (SELECT FROM code_repositories WHERE repository = $1)"

# In the order of bytes, as names go in a page token. Of as many as a page has, not of all.
REPOSITORIES = """
    SELECT r.repository, r.changed, r.create_time, r.commit_time, count(f.path) AS files,
           coalesce(sum(f.chunk_count), 0)::bigint AS chunks
    FROM (
        SELECT * FROM code_repositories WHERE repository COLLATE "C" > $1 ORDER BY repository COLLATE "C" LIMIT $2
    ) r
    LEFT JOIN code_files f USING (repository)
    GROUP BY r.repository, r.changed, r.create_time, r.commit_time
    ORDER BY r.repository COLLATE "C"
"""

FILES = """
    SELECT path, content_hash, cut_version, language, size_bytes, line_count, chunk_count, cut_method, note, update_time
    FROM code_files
    WHERE repository = $1 AND path > $2 AND path >= $3 AND starts_with(path, $3)
      AND ($4::text IS NULL OR path ~ $4)
    ORDER BY path
    LIMIT $5
"""

CHUNK = f"SELECT {CHUNK_COLUMNS} FROM {CHUNK_TABLES} WHERE c.id = $1"


class PostgresCode:
    """See CodeRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def indexing(self, repository: str) -> AsyncIterator[PostgresIndexing]:
        """See CodeRepository.

        On a connection of its own: it is held as long as somebody sends files, and the pool is for short work.
        """
        async with translated():
            connection = await self._database.connect()
            try:
                if not await connection.fetchval(LOCK, repository):
                    raise AbortedError(f"another call indexes or deletes {repository}", retry_after=5)
                yield PostgresIndexing(self._database, connection, repository)
            finally:
                await _release(connection)

    async def is_known(self, repository: str) -> bool:
        """See CodeRepository."""
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(KNOWN, repository))

    async def repositories(self, after: str, limit: int) -> list[CodeRepositoryFacts]:
        """See CodeRepository."""
        async with self._database.connection() as connection:
            return [facts_of(row) for row in await connection.fetch(REPOSITORIES, after, limit)]

    async def files(self, repository: str, matching: PathFilter, after: str, limit: int) -> list[SourceFile]:
        """See CodeRepository."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(FILES, repository, after, matching.prefix, matching.anchored, limit)
        return [file_of(row) for row in rows]

    async def chunk(self, chunk_id: UUID) -> StoredChunk | None:
        """See CodeRepository."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(CHUNK, chunk_id)
        return None if row is None else chunk_of(row)


async def _release(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """End a session. Its lock first: it would go with the session, at some time after it."""
    try:
        async with asyncio.timeout(_RELEASE_SECONDS):
            await connection.execute(UNLOCK)
            await connection.close()
    except (asyncpg.PostgresError, *LOST, OSError):  # TimeoutError is an OSError
        pass
    finally:
        connection.terminate()
