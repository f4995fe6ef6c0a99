"""Search for code in PostgreSQL: by two vectors, by words, and by names."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from store.bm25 import Weights
from store.code.source import StoredChunk
from store.database import Connection, Database
from store.errors import CodeSpaceMismatchError
from store.repositories.code_search import CodeCandidate, CodeCandidates, CodeFilter, CodeQuestion, Meaning
from store.repositories.postgres.code_filter import MATCHING, Conditions, conditions
from store.repositories.postgres.code_rows import CHUNK_COLUMNS, CHUNK_TABLES, chunk_of
from store.repositories.postgres.code_words import best_by_words, weigh
from store.repositories.postgres.lexical_search import SCORE, UNPACKED
from store.repositories.postgres.rows import similarity, space_of
from store.repositories.postgres.spaces import RECORDED
from store.repositories.postgres.time_left import milliseconds_left
from store.spaces import CODE_COLUMN, CODE_TEXT_COLUMN

# As of events: store/repositories/postgres/search.py says why each is there. All statements see one state, begun behind
# the lock, so that the space that is read is that of the vectors.
SETTINGS = """
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
    SET LOCAL statement_timeout = {timeout};
    LOCK TABLE code_chunks IN ACCESS SHARE MODE;
    SET LOCAL enable_seqscan = off;
    SET LOCAL hnsw.ef_search = 200;
    SET LOCAL hnsw.iterative_scan = 'strict_order';
    SET LOCAL hnsw.max_scan_tuples = 40000;
    SET LOCAL hnsw.scan_mem_multiplier = 16
"""

#: Rows that a scan of the index surely goes through, if it must: half of what is set above, for how many rows there are
#: is an estimate.
_SCANNED = 20_000
#: Fewer chunks within the filter are all compared, rather than left to an index that may stop before it comes to them.
_COMPARED = 10_000
#: Chunks called like the query, or like the same part of it, that are looked at: some names are common.
_NAMESAKES = 2_000

# The inner query is the shape that an HNSW index serves: ORDER BY the distance itself, LIMIT, nothing else.
NEAREST = f"""
    SELECT id FROM (
        SELECT c.id, c.{{column}} <=> $6 AS distance
        FROM code_chunks AS c
        WHERE c.{{column}} IS NOT NULL AND {MATCHING}
        ORDER BY c.{{column}} <=> $6
        LIMIT $7
    ) AS nearest
    WHERE distance <> 'NaN'
"""
BY_TEXT, BY_CODE = NEAREST.format(column="embedding_text"), NEAREST.format(column="embedding_code")

# An estimate as the planner makes it; of a table that nobody analyzed yet, the most that its pages may hold.
BEYOND_SCAN = """
    SELECT pg_relation_size(c.oid) / 8192 * coalesce(c.reltuples / nullif(c.relpages, 0), 16) > $1
    FROM pg_class AS c WHERE c.oid = 'code_chunks'::regclass
"""
MATCHES = f"SELECT count(*) FROM (SELECT FROM code_chunks AS c WHERE {MATCHING} LIMIT $6) AS found"

# Exact search: HNSW off, and bitmap scans of the other indexes on.
EXACT = "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off"
ANY_INDEX = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on"

_NAMED = """
    SELECT coalesce(max(asked.share), 0) AS named
    FROM unnest({names}::text[], {shares}::float8[]) AS asked (name, share)
    WHERE asked.name = ANY(e.names)
"""

# Each share by itself: among many that are called nearly so, one that is called just so is not lost.
BY_NAME = f"""
    WITH called AS MATERIALIZED (
        SELECT asked.share, e.id
        FROM (
            SELECT share, array_agg(name) AS names
            FROM unnest($6::text[], $7::float8[]) AS one (name, share)
            GROUP BY share
        ) AS asked
        CROSS JOIN LATERAL (
            SELECT c.id FROM code_chunks AS c
            WHERE c.names && asked.names AND {MATCHING}
            LIMIT $9
        ) AS e
    )
    SELECT id, (
        SELECT max(share) FROM (SELECT share FROM called GROUP BY share HAVING count(*) = $9) AS cut
    ) AS unseen
    FROM called
    GROUP BY id
    ORDER BY max(share) DESC, id
    LIMIT $8
"""

# Begins like a CodeCandidate.
COMPARED = f"""
    SELECT e.id, {similarity("e.code_distance")} AS code, {similarity("e.text_distance")} AS text,
           scored.score AS words, called.named
    FROM (
        SELECT id, names, {UNPACKED.format(average="$6")},
               embedding_code <=> $2 AS code_distance, embedding_text <=> $3 AS text_distance
        FROM code_chunks
        WHERE id = ANY($1::uuid[])
        OFFSET 0
    ) AS e
    CROSS JOIN LATERAL ({SCORE.format(terms="$4", idf="$5")}) AS scored
    CROSS JOIN LATERAL ({_NAMED.format(names="$7", shares="$8")}) AS called
"""

CHUNKS = f"SELECT {CHUNK_COLUMNS} FROM {CHUNK_TABLES} WHERE c.id = ANY($6::uuid[]) AND {MATCHING}"


class _Nearest(NamedTuple):
    """The nearest chunks, and whether there may be nearer ones."""

    ids: list[UUID]
    may_miss: bool = False


class _Namesakes(NamedTuple):
    """Chunks called like the query, and what names of those that were not looked at may be of it."""

    ids: list[UUID]
    unseen: float = 0.0


class PostgresCodeSearch:
    """See CodeSearchRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def candidates(self, question: CodeQuestion, matching: CodeFilter, limit: int) -> CodeCandidates:
        """See CodeSearchRepository."""
        async with self._database.reading(SETTINGS.format(timeout=milliseconds_left())) as connection:
            filters = conditions(matching)
            weights = await weigh(connection, question.terms, matching.repository)
            worded = await best_by_words(connection, weights, filters, limit)
            named = await _named(connection, question, filters, limit)
            nearest = await _nearest(connection, question, filters, limit)
            ids = list({*worded.ids, *named.ids, *nearest.ids})
            found = await _compared(connection, ids, question, weights)
        return CodeCandidates(found, weights.most, worded.unseen, named.unseen, nearest.may_miss)

    async def chunks(self, ids: Sequence[UUID], matching: CodeFilter) -> dict[UUID, StoredChunk]:
        """See CodeSearchRepository."""
        if not ids:
            return {}
        async with self._database.connection() as connection:
            rows = await connection.fetch(CHUNKS, *conditions(matching), ids)
        return {row["id"]: chunk_of(row) for row in rows}


async def _named(connection: Connection, question: CodeQuestion, filters: Conditions, limit: int) -> _Namesakes:
    if not question.names:
        return _Namesakes([])
    names = [*question.names], [*question.names.values()]
    rows = await connection.fetch(BY_NAME, *filters, *names, limit, _NAMESAKES)
    return _Namesakes([row["id"] for row in rows], (rows[0]["unseen"] or 0.0) if rows else 0.0)


async def _nearest(connection: Connection, question: CodeQuestion, filters: Conditions, limit: int) -> _Nearest:
    """The nearest by both vectors. The index first; where it may stop too soon and few chunks match, all of those."""
    arms = [
        (statement, meaning)
        for column, statement, meaning in (
            (CODE_COLUMN, BY_CODE, question.code),
            (CODE_TEXT_COLUMN, BY_TEXT, question.text),
        )
        if meaning is not None and await _has_space(connection, column, meaning)
    ]
    if not arms:
        return _Nearest([])
    may_miss = any(one is not None for one in filters) and bool(await connection.fetchval(BEYOND_SCAN, _SCANNED))
    if may_miss and int(await connection.fetchval(MATCHES, *filters, _COMPARED)) < _COMPARED:
        return _Nearest(await _exactly(connection, arms, filters, limit))
    ids: list[UUID] = []
    for arm in arms:
        rows = await connection.fetch(arm[0], *filters, arm[1].vector, limit)
        ids += [row["id"] for row in rows] if len(rows) == limit else await _exactly(connection, [arm], filters, limit)
    return _Nearest(ids, may_miss)


async def _exactly(
    connection: Connection, arms: Sequence[tuple[str, Meaning]], filters: Conditions, limit: int
) -> list[UUID]:
    """The nearest of all chunks that match."""
    await connection.execute(EXACT)
    found = [await connection.fetch(statement, *filters, meaning.vector, limit) for statement, meaning in arms]
    await connection.execute(ANY_INDEX)
    return [row["id"] for rows in found for row in rows]


async def _has_space(connection: Connection, column: str, meaning: Meaning) -> bool:
    """Whether there are vectors to compare with. Raises CodeSpaceMismatchError when they are of another model."""
    stored = space_of(await connection.fetchrow(RECORDED, column))
    if stored is None:
        return False
    if (stored.fingerprint, stored.dimension) != (meaning.space.fingerprint, meaning.space.dimension):
        raise CodeSpaceMismatchError(column, stored, meaning.space)
    return True


async def _compared(
    connection: Connection, ids: Sequence[UUID], question: CodeQuestion, weights: Weights
) -> list[CodeCandidate]:
    """Each of the chunks compared by all arms."""
    if not ids:
        return []
    rows = await connection.fetch(
        COMPARED,
        ids,
        None if question.code is None else question.code.vector,
        None if question.text is None else question.text.vector,
        weights.terms,
        weights.idf,
        weights.average_length,
        [*question.names],
        [*question.names.values()],
    )
    return [CodeCandidate(*row) for row in rows]
