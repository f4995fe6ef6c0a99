"""Search in PostgreSQL: by vector, by words, and both."""

import time
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from store.bm25 import Weights
from store.database import Connection, Database
from store.events import EmbeddingSpace, Event, EventFilter, Vector
from store.repositories.postgres.lexical_search import best_by_words, both_scores, weigh
from store.repositories.postgres.rows import (
    EVENT_COLUMNS,
    Row,
    conditions,
    event_of,
    has_unrecorded_vectors,
    similarity,
    space_of,
    unix_time,
)
from store.repositories.postgres.spaces import SPACE
from store.repositories.postgres.time_left import milliseconds_left
from store.repositories.search import Candidate, Candidates, Question
from store.spaces import EVENTS_COLUMN, require_same_space

# The lock is the one that every query takes: from here to the end of the transaction nobody can swap columns under us,
# and the space that is read after it is that of the vectors we compare.
# The planner takes looking for words in every row of a small partition for cheaper than asking the index. It is not.
SETTINGS = """
    SET LOCAL statement_timeout = {timeout};
    LOCK TABLE ONLY events IN ACCESS SHARE MODE;
    SET LOCAL enable_seqscan = off;
    SET LOCAL hnsw.ef_search = 100;
    SET LOCAL hnsw.iterative_scan = 'strict_order';
    SET LOCAL hnsw.max_scan_tuples = 40000;
    SET LOCAL hnsw.scan_mem_multiplier = 16
"""

#: Rows of one partition that a scan of its index surely goes through, if it must: half of what is set above, for how
#: many rows there are is an estimate.
_SCANNED = 20_000

#: Seconds for which the answer to BEYOND_SCAN holds. Nobody writes the other half in them, into indexes of vectors.
_SIZES_HOLD = 5.0

#: Fewer rows that match are all compared, rather than left to an index that may stop before it comes to them. To count
#: as far as this is what a filter that more rows match costs.
_COMPARED = 10_000

# An estimate as the planner makes it; of a partition that nobody analyzed yet, the most that its pages may hold.
BEYOND_SCAN = """
    SELECT EXISTS (
        SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
        WHERE inhparent = 'events'::regclass AND pg_relation_size(c.oid) / 8192
              * coalesce(c.reltuples / nullif(c.relpages, 0), 64) > $1
    )
"""

# Parameters as `conditions` gives them, after the first.
_MATCHING = """
    ($2::jsonb IS NULL OR metadata @> $2)
      AND ($3::timestamptz IS NULL OR timestamp >= $3)
      AND ($4::timestamptz IS NULL OR timestamp < $4)
"""

# The first events come along: to read them by themselves costs a plan over all partitions.
_BROUGHT = ", ".join(
    f"CASE WHEN row_number() OVER (ORDER BY distance, id) <= $6 THEN {column} END AS {column}"
    for column in (
        *("timestamp", "content", "metadata", "create_time", "update_time"),
        *("embedding_state", "embedding_error", "embedding_attempts"),
    )
)

# The inner query is the shape that the HNSW indexes of the partitions serve: ORDER BY the distance itself, LIMIT,
# nothing else. A zero vector, which an adopted table may hold, has no direction: its distance is NaN. Rows begin like a
# Candidate. The space comes along, because a statement of its own would be one more round trip.
NEAREST = f"""
    SELECT id, {unix_time("timestamp")}, {similarity("distance")} AS similarity, 0::float8 AS score, {_BROUGHT},
           (SELECT fingerprint FROM embedding_spaces WHERE column_name = '{EVENTS_COLUMN}') AS fingerprint
    FROM (
        SELECT {EVENT_COLUMNS}, embedding <=> $1 AS distance
        FROM events
        WHERE embedding_state = 'EMBEDDED' AND {_MATCHING}
        ORDER BY embedding <=> $1
        LIMIT $5
    ) AS nearest
    WHERE distance <> 'NaN'
    ORDER BY distance, id
"""

MATCHES = f"""
    SELECT count(*)
    FROM (SELECT FROM events WHERE embedding_state = 'EMBEDDED' AND {_MATCHING} LIMIT $1) AS found
"""

# A plan for any filter would go through all rows, and look cheap for its LIMIT.
PLAN_FOR_FILTER = "SET LOCAL plan_cache_mode = force_custom_plan"

# Exact search: HNSW and btree scans off; bitmap scans of the metadata and time indexes stay.
EXACT = "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off"
ANY_INDEX = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on"

# The keys know the timestamp, and it the partition. The filter once more: an event may have changed meanwhile.
EVENTS = f"""
    SELECT {EVENT_COLUMNS}
    FROM events
    JOIN (SELECT event_id, timestamp AS at FROM event_keys WHERE event_id = ANY($1::uuid[])) AS k
      ON k.event_id = id AND k.at = timestamp
    WHERE {_MATCHING}
"""

# What others wrote beside the store has no key.
EVENTS_WITHOUT_KEY = f"""
    SELECT {EVENT_COLUMNS} FROM events WHERE id = ANY($1::uuid[]) AND {_MATCHING} ORDER BY timestamp
"""


#: Rows of both arms begin with these.
_OF_CANDIDATE = len(Candidate._fields)


class _Nearest(NamedTuple):
    """Rows of the nearest events, and whether there may be nearer ones."""

    rows: Sequence[Row] = ()
    may_miss: bool = False


class PostgresSearch:
    """See SearchRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._beyond_scan = False
        self._measure_at = 0.0

    async def candidates(self, question: Question, matching: EventFilter, limit: int) -> Candidates:
        """See SearchRepository."""
        settings = SETTINGS.format(timeout=milliseconds_left())
        async with self._database.reading(settings) as connection:
            weighed = await weigh(connection, question.terms, matching)
            by_words = await best_by_words(connection, weighed, matching, question.recency, limit)
            found = [Candidate(*row[:_OF_CANDIDATE]) for row in by_words.rows]
            if question.vector is None:
                return Candidates(found, weighed.weights.most, by_words.unseen)
            rows, may_miss = await self._nearest(connection, question, question.vector, matching, limit)
            near = [Candidate(*row[:_OF_CANDIDATE]) for row in rows]
            found = await _compared(connection, near, found, question.vector, weighed.weights)
        return Candidates(
            found,
            weighed.weights.most,
            by_words.unseen,
            rows[-1]["similarity"] if len(rows) == limit else -1.0,
            {row["id"]: event_of(row) for row in rows[: question.bring]},
            may_miss,
        )

    async def events(self, ids: Sequence[UUID], matching: EventFilter) -> dict[UUID, Event]:
        """See SearchRepository."""
        if not ids:
            return {}
        async with self._database.connection() as connection:
            rows = await connection.fetch(EVENTS, ids, *conditions(matching))
            found = {row["id"]: event_of(row) for row in rows}
            if missing := [one for one in ids if one not in found]:
                rows = await connection.fetch(EVENTS_WITHOUT_KEY, missing, *conditions(matching))
                found |= {row["id"]: event_of(row) for row in rows}
        return found

    async def _nearest(
        self, connection: Connection, question: Question, vector: Vector, matching: EventFilter, limit: int
    ) -> _Nearest:
        """The nearest events.

        The index comes first. It looks at a bounded number of rows of each partition: with a filter it may come back
        with less than was asked for, or miss what is near in one partition and fill up from another. Where it may, and
        where few rows match, all of those are compared.
        """
        arguments = (vector, *conditions(matching), limit, question.bring)
        may_miss = matching != EventFilter() and await self._is_beyond_scan(connection)
        if may_miss and await _match_few(connection, matching):
            nearest = _Nearest(await _exactly(connection, *arguments))
        else:
            nearest = _Nearest(await connection.fetch(NEAREST, *arguments), may_miss)
            if len(nearest.rows) < limit:
                nearest = _Nearest(await _exactly(connection, *arguments))
        await _require_space(connection, question.space, nearest.rows)
        return nearest

    async def _is_beyond_scan(self, connection: Connection) -> bool:
        """Whether there is a partition that a scan may not go through; sizes are looked at now and then."""
        if time.monotonic() >= self._measure_at:
            self._beyond_scan = await connection.fetchval(BEYOND_SCAN, _SCANNED)
            self._measure_at = time.monotonic() + _SIZES_HOLD
        return self._beyond_scan


async def _require_space(connection: Connection, space: EmbeddingSpace | None, rows: Sequence[Row]) -> None:
    """Raise unless the vectors that were compared are of this space."""
    recorded = rows[0]["fingerprint"] if rows else None
    if recorded is not None and (space is None or space.fingerprint == recorded):
        return
    row = await connection.fetchrow(SPACE, EVENTS_COLUMN, [])
    require_same_space(space_of(row), space, has_unrecorded_vectors=has_unrecorded_vectors(row))


async def _match_few(connection: Connection, matching: EventFilter) -> bool:
    await connection.execute(PLAN_FOR_FILTER)
    return int(await connection.fetchval(MATCHES, _COMPARED, *conditions(matching))) < _COMPARED


async def _exactly(connection: Connection, *arguments: object) -> list[Row]:
    """The nearest of all rows that match."""
    await connection.execute(EXACT)
    rows = await connection.fetch(NEAREST, *arguments)
    await connection.execute(ANY_INDEX)
    return rows


async def _compared(
    connection: Connection, near: list[Candidate], by_words: list[Candidate], vector: Vector, weighed: Weights
) -> list[Candidate]:
    """The candidates of both arms, those of one arm compared in the other way too."""
    if not weighed.terms:
        return near
    # What has no key, or is gone since, stays as it was found.
    found = {one.id: one for one in (*by_words, *near)}
    nearest, worded = {one.id for one in near}, {one.id: one.lexical_score for one in by_words}
    for key in nearest & worded.keys():
        found[key] = found[key]._replace(lexical_score=worded[key])
    for row in await both_scores(connection, [*nearest ^ worded.keys()], vector, weighed):
        found[row["id"]] = Candidate(*row[:_OF_CANDIDATE])
    return list(found.values())
