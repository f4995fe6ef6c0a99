"""Search in PostgreSQL: by vector, by words, and both."""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

from servicekit import context
from servicekit.errors import DeadlineExceededError
from store.bm25 import Weights
from store.database import Connection, Database
from store.events import Event, EventFilter, Vector
from store.repositories.postgres.lexical_search import best_by_words, both_scores, weigh
from store.repositories.postgres.rows import (
    EVENT_COLUMNS,
    Row,
    conditions,
    event_of,
    has_unrecorded_vectors,
    space_of,
)
from store.repositories.postgres.spaces import RECORDED, SPACE
from store.repositories.search import Candidate, Candidates, Question
from store.spaces import EVENTS_COLUMN, require_same_space

# Several statements in one round trip. The lock is the one that every query takes: from here to the end of the
# transaction nobody can swap columns under us, and the space that is read after it is that of the vectors we compare.
# The planner takes looking for words in every row of a small partition for cheaper than asking the index. It is not.
BEGIN_SEARCH = """
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
        *("content", "metadata", "create_time", "update_time"),
        *("embedding_state", "embedding_error", "embedding_attempts"),
    )
)

# The inner query is the shape that the HNSW indexes of the partitions serve: ORDER BY the distance itself, LIMIT,
# nothing else. A zero vector, which an adopted table may hold, has no direction: its distance is NaN.
NEAREST = f"""
    SELECT id, timestamp, distance, {_BROUGHT}
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


_Found: TypeAlias = dict[UUID, Candidate]


class _Nearest(NamedTuple):
    """Rows of the nearest events, and whether there may be nearer ones."""

    rows: Sequence[Row] = ()
    may_miss: bool = False


class PostgresSearch:
    """See SearchRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def candidates(self, question: Question, matching: EventFilter, limit: int) -> Candidates:
        """See SearchRepository."""
        async with self._database.transaction() as connection:
            await connection.execute(BEGIN_SEARCH.format(timeout=_milliseconds_left()))
            weighed = await weigh(connection, question.terms, matching)
            by_words = await best_by_words(connection, weighed, matching, question.recency, limit)
            found = {row["id"]: Candidate(row["id"], row["timestamp"], None, row["score"]) for row in by_words.rows}
            if question.vector is None:
                return Candidates(list(found.values()), weighed.weights.most, by_words.unseen)
            rows, may_miss = await _nearest(connection, question, question.vector, matching, limit)
            near = {
                row["id"]: Candidate(row["id"], row["timestamp"], _similarity(row["distance"]), 0.0) for row in rows
            }
            found = await _compared(connection, near, found, question.vector, weighed.weights)
        return Candidates(
            list(found.values()),
            weighed.weights.most,
            by_words.unseen,
            (_similarity(rows[-1]["distance"]) or 0.0) if len(rows) == limit else -1.0,
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
    connection: Connection, question: Question, vector: Vector, matching: EventFilter, limit: int
) -> _Nearest:
    """The nearest events.

    The index comes first. It looks at a bounded number of rows of each partition: with a filter it may come back with
    less than was asked for, or miss what is near in one partition and fill up from another. Where it may, and where few
    rows match, all of those are compared.
    """
    row = await connection.fetchrow(RECORDED, EVENTS_COLUMN)
    if row is None:
        row = await connection.fetchrow(SPACE, EVENTS_COLUMN, [])
    stored = space_of(row)
    unrecorded = stored is None and has_unrecorded_vectors(row)
    require_same_space(stored, question.space, has_unrecorded_vectors=unrecorded)
    if stored is None:
        return _Nearest()
    arguments = (vector, *conditions(matching), limit, question.bring)
    may_miss = matching != EventFilter() and await connection.fetchval(BEYOND_SCAN, _SCANNED)
    if may_miss:
        await connection.execute(PLAN_FOR_FILTER)
        few = await connection.fetchval(MATCHES, _COMPARED, *conditions(matching)) < _COMPARED
        if few:
            return _Nearest(await _exactly(connection, *arguments))
    rows = await connection.fetch(NEAREST, *arguments)
    if len(rows) < limit:
        return _Nearest(await _exactly(connection, *arguments))
    return _Nearest(rows, may_miss)


async def _exactly(connection: Connection, *arguments: object) -> list[Row]:
    """The nearest of all rows that match."""
    await connection.execute(EXACT)
    rows = await connection.fetch(NEAREST, *arguments)
    await connection.execute(ANY_INDEX)
    return rows


async def _compared(connection: Connection, near: _Found, by_words: _Found, vector: Vector, weighed: Weights) -> _Found:
    """The candidates of both arms, those of one arm compared in the other way too."""
    if not weighed.terms:
        return near
    # What has no key, or is gone since, stays as it was found.
    found = by_words | near
    for key in near.keys() & by_words.keys():
        found[key] = near[key]._replace(lexical_score=by_words[key].lexical_score)
    for row in await both_scores(connection, [*near.keys() ^ by_words.keys()], vector, weighed):
        found[row["id"]] = Candidate(row["id"], row["timestamp"], _similarity(row["distance"]), row["score"])
    return found


def _similarity(distance: float | None) -> float | None:
    """The cosine, without the rounding of float32; None for what has no direction."""
    return None if distance is None or math.isnan(distance) else min(1.0, max(-1.0, 1 - distance))


def _milliseconds_left() -> int:
    """What the caller's deadline leaves; 0 is no limit to PostgreSQL."""
    left = context.remaining()
    if left is None:
        return 0
    if left <= 0:
        raise DeadlineExceededError("the deadline passed before the search began")
    return max(1, int(left * 1000))
