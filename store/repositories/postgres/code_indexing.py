"""Changing a repository of code in PostgreSQL."""

from collections.abc import AsyncIterator, Collection, Sequence

import asyncpg

from store.code.stored import CodeSpaces, KnownFile, NewFile, Vectors
from store.database import Connection, Database
from store.errors import DatabaseUnavailableError
from store.graph import CODE_NAMESPACE
from store.repositories.code import CodeCounts, KnownVectors
from store.repositories.postgres.code_spaces import recorded_spaces
from store.repositories.postgres.code_writing import write_files

#: Outlines read at once: those of a large file have some hundred KiB.
_OUTLINES = 100

# Which files a call named, however many: not in our memory. Gone with the session, which ends with the call.
CREATE_NAMED = 'CREATE TEMPORARY TABLE named (path text COLLATE "C" PRIMARY KEY)'
NAME = "INSERT INTO named SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING path"

KNOWN = "SELECT path, content_hash, cut_version FROM code_files WHERE repository = $1 AND path = ANY($2)"

# Of chunks with equal inputs any one will do.
KNOWN_VECTORS = """
    SELECT DISTINCT ON (input_hash) input_hash, embedding_text, embedding_code
    FROM code_chunks
    WHERE repository = $1 AND input_hash = ANY($2) AND embedding_text IS NOT NULL AND embedding_code IS NOT NULL
"""

DELETE_UNNAMED = """
    WITH gone AS (
        DELETE FROM code_files f
        WHERE repository = $1 AND NOT EXISTS (SELECT FROM named n WHERE n.path = f.path)
        RETURNING 1
    ), changed AS (
        UPDATE code_repositories SET changed = true WHERE repository = $1 AND EXISTS (SELECT FROM gone)
    )
    SELECT count(*) FROM gone
"""

CHANGED = "SELECT changed FROM code_repositories WHERE repository = $1"

OUTLINES = """
    SELECT path, language, outline::text AS outline FROM code_files
    WHERE repository = $1 AND path > $2 ORDER BY path LIMIT $3
"""

# Most words of a repository are in as many chunks as before.
COUNT_TERMS = """
    WITH fresh AS MATERIALIZED (
        SELECT term, count(*) AS chunks FROM code_chunks, unnest(terms) AS term WHERE repository = $1 GROUP BY term
    ), gone AS (
        DELETE FROM code_terms t
        WHERE repository = $1 AND NOT EXISTS (SELECT FROM fresh WHERE fresh.term = t.term)
    )
    INSERT INTO code_terms AS t (repository, term, chunks)
    SELECT $1, term, chunks FROM fresh
    ON CONFLICT (repository, term) DO UPDATE SET chunks = excluded.chunks WHERE t.chunks <> excluded.chunks
"""
COMMIT = """
    INSERT INTO code_repositories AS r (repository, chunks, length, changed, commit_time)
    SELECT $1::text, count(*), coalesce(sum(term_total), 0), false, now() FROM code_chunks WHERE repository = $1
    ON CONFLICT (repository) DO UPDATE
    SET chunks = excluded.chunks, length = excluded.length, changed = false, commit_time = excluded.commit_time
"""
COMMIT_UNCHANGED = "UPDATE code_repositories SET commit_time = now() WHERE repository = $1 AND NOT changed RETURNING 1"

GRAPH_SIZE = """
    SELECT (SELECT count(*) FROM nodes WHERE namespace = $1) AS nodes,
           (SELECT count(*) FROM edges WHERE namespace = $1) AS edges
"""

FORGET_COMMIT = """
    WITH known AS (UPDATE code_repositories SET changed = true WHERE repository = $1 RETURNING repository)
    SELECT count(f.path) AS files, coalesce(sum(f.chunk_count), 0)::bigint AS chunks
    FROM known LEFT JOIN code_files f USING (repository)
    GROUP BY known.repository
"""
DELETE = "DELETE FROM code_repositories WHERE repository = $1"


class PostgresIndexing:
    """See Indexing. Its lock is as long as the connection that it is made with."""

    def __init__(self, database: Database, lock: "asyncpg.Connection[asyncpg.Record]", repository: str) -> None:
        self._database = database
        self._lock = lock
        self._repository = repository
        self._names = False

    async def name(self, paths: Sequence[str]) -> set[str]:
        """See Indexing."""
        self._require_lock()
        await self._prepare_names()
        return {row["path"] for row in await self._lock.fetch(NAME, paths)}

    async def known(self, paths: Collection[str]) -> dict[str, KnownFile]:
        """See Indexing."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(KNOWN, self._repository, list(paths))
        return {row["path"]: KnownFile(row["content_hash"], row["cut_version"]) for row in rows}

    async def vectors(self, hashes: Collection[bytes]) -> KnownVectors:
        """See Indexing."""
        if not hashes:
            return KnownVectors()
        # Vectors and their spaces of one snapshot: they may be forgotten in between.
        async with self._database.reading("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ") as connection:
            rows = await connection.fetch(KNOWN_VECTORS, self._repository, list(hashes))
            spaces = await recorded_spaces(connection) if rows else None
        if spaces is None:
            return KnownVectors()
        return KnownVectors(
            {
                row["input_hash"]: Vectors(row["embedding_text"].to_numpy(), row["embedding_code"].to_numpy())
                for row in rows
            },
            spaces,
        )

    async def write(self, files: Sequence[NewFile], spaces: CodeSpaces | None) -> None:
        """See Indexing."""
        self._require_lock()
        async with self._database.transaction() as connection:
            await write_files(connection, self._repository, files, spaces)

    async def delete_unnamed(self) -> int:
        """See Indexing. On the connection that knows the names."""
        self._require_lock()
        await self._prepare_names()
        return int(await self._lock.fetchval(DELETE_UNNAMED, self._repository))

    async def has_changed(self) -> bool:
        """See Indexing."""
        async with self._database.connection() as connection:
            return await connection.fetchval(CHANGED, self._repository) is not False

    async def require_held(self) -> None:
        """See Indexing. A session that answers has its lock."""
        self._require_lock()
        await self._lock.execute("SELECT")

    async def outlines(self) -> AsyncIterator[list[tuple[str, str, str]]]:
        """See Indexing."""
        after = ""
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(OUTLINES, self._repository, after, _OUTLINES)
            if not rows:
                return
            yield [(row["path"], row["language"], row["outline"]) for row in rows]
            after = rows[-1]["path"]

    async def commit(self) -> None:
        """See Indexing."""
        self._require_lock()
        async with self._database.transaction() as connection:
            if not await connection.fetchval(COMMIT_UNCHANGED, self._repository):
                await _commit(connection, self._repository)

    async def graph_size(self) -> tuple[int, int]:
        """See Indexing."""
        async with self._database.connection() as connection:
            [row] = await connection.fetch(GRAPH_SIZE, CODE_NAMESPACE + self._repository)
        return row["nodes"], row["edges"]

    async def forget_commit(self) -> CodeCounts | None:
        """See Indexing."""
        self._require_lock()
        async with self._database.connection() as connection:
            row = await connection.fetchrow(FORGET_COMMIT, self._repository)
        return None if row is None else CodeCounts(row["files"], row["chunks"])

    async def delete(self) -> None:
        """See Indexing."""
        self._require_lock()
        async with self._database.connection() as connection:
            await connection.execute(DELETE, self._repository)

    def _require_lock(self) -> None:
        """The lock ends with the session that took it, such as when the database is started again."""
        if self._lock.is_closed():
            raise DatabaseUnavailableError("the connection to the database was lost")

    async def _prepare_names(self) -> None:
        if not self._names:
            await self._lock.execute(CREATE_NAMED)
            self._names = True


async def _commit(connection: Connection, repository: str) -> None:
    await connection.execute(COMMIT, repository)  # first: a repository without files has no row yet
    await connection.execute(COUNT_TERMS, repository)
