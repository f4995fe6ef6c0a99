"""The events nearest to a vector, and the plans that find them."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from store.database import Connection
from store.events import EmbeddingSpace, EventFilter
from store.repositories.postgres.rows import (
    EVENT_COLUMNS,
    Row,
    conditions,
    has_unrecorded_vectors,
    similarity,
    space_of,
    unix_time,
)
from store.repositories.postgres.spaces import SPACE
from store.repositories.search import Question
from store.spaces import EVENTS_COLUMN, require_same_space

#: Rows of one partition that a scan of its index surely goes through, if it must: half of what a search allows, for how
#: many rows there are is an estimate.
_SCANNED = 20_000

#: Fewer rows that match are all compared, rather than left to an index that may stop before it comes to them. To count
#: as far as this is what a filter that more rows match costs.
_COMPARED = 10_000

#: Seconds for which the sizes of partitions hold, and what the planner says of a filter. Nobody writes the other half
#: of a partition in them, into indexes of vectors.
_HOLDS = 5.0

#: Filters that are remembered.
_FILTERS = 1_000

# An estimate as the planner makes it; of a partition that nobody analyzed yet, the most that its pages may hold.
BEYOND_SCAN = """
    SELECT EXISTS (
        SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
        WHERE inhparent = 'events'::regclass AND pg_relation_size(c.oid) / 8192
              * coalesce(c.reltuples / nullif(c.relpages, 0), 64) > $1
    )
"""

# Parameters as `conditions` gives them, after the first.
MATCHING = """
    ($2::jsonb IS NULL OR metadata @> $2)
      AND ($3::timestamptz IS NULL OR timestamp >= $3)
      AND ($4::timestamptz IS NULL OR timestamp < $4)
"""


@lru_cache(maxsize=100)
def _nearest(matching: str, limit: str, bring: str, order: str = "embedding <=> $1") -> str:
    # The first events come along: to read them by themselves costs a plan over all partitions.
    brought = ", ".join(
        f"CASE WHEN row_number() OVER (ORDER BY distance, id) <= {bring} THEN {column} END AS {column}"
        for column in (
            *("timestamp", "content", "metadata", "create_time", "update_time"),
            *("embedding_state", "embedding_error", "embedding_attempts"),
        )
    )
    # The inner query is the shape that the HNSW indexes of the partitions serve: ORDER BY the distance itself, LIMIT,
    # nothing else. A zero vector, which an adopted table may hold, has no direction: its distance is NaN. Rows begin
    # like a Candidate. The space comes along, because a statement of its own would be one more round trip.
    return f"""
        SELECT id, {unix_time("timestamp")}, {similarity("distance")} AS similarity, 0::float8 AS score, {brought},
               (SELECT fingerprint FROM embedding_spaces WHERE column_name = '{EVENTS_COLUMN}') AS fingerprint
        FROM (
            SELECT {EVENT_COLUMNS}, embedding <=> $1 AS distance
            FROM events
            WHERE embedding_state = 'EMBEDDED' AND {matching}
            ORDER BY {order}
            LIMIT {limit}
        ) AS nearest
        WHERE distance <> 'NaN'
        ORDER BY distance, id
    """


#: Planned for the filter at hand: how many events match it decides how the nearest of them are best found.
NEAREST = _nearest(MATCHING, "$5", "$6")

#: All events of these metadata are compared, because no index has this order. Planned once.
COMPARED = _nearest("metadata @> $2", "$3", "$4", order="0 + (embedding <=> $1)")

MATCHES = f"""
    SELECT count(*)
    FROM (SELECT FROM events WHERE embedding_state = 'EMBEDDED' AND {MATCHING} LIMIT $1) AS found
"""

# Exact search: HNSW and btree scans off; bitmap scans of the metadata and time indexes stay.
EXACT = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off"
ANY_INDEX = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on"

_ANY_VECTOR = np.ones(1, np.float32)

PLANNED_ONCE = "; SET LOCAL plan_cache_mode = force_generic_plan"


@dataclass(frozen=True, slots=True)
class Way:
    """A statement that finds the nearest events."""

    sql: str
    arguments: Sequence[object]
    #: What the transaction has to begin with.
    settings: str = ""
    #: Whether all events that match are compared.
    is_exact: bool = False
    #: Under which it is remembered whether all that match are compared; None when it is not.
    key: int | None = None
    #: Whether to ask the planner about that.
    is_due: bool = False


class Found(NamedTuple):
    """Rows of the nearest events, and whether there may be nearer ones."""

    rows: Sequence[Row] = ()
    may_miss: bool = False


class _Known(NamedTuple):
    """What is known of a filter: when it came, whether all that match are compared, and until when that holds."""

    came: float = -math.inf
    is_compared: bool = False
    until: float = -math.inf


class Nearest:
    """Finds the nearest events.

    To plan a statement over the partitions of a year takes PostgreSQL a millisecond. Two kinds of search do without:
    those without a filter, and those with metadata of which it was found out a moment ago that all events which match
    are best compared, because few do or because the planner says so. Their plans are the same for every vector, and
    what they find is right whatever is written meanwhile. A plan for any range of time, or for any words, would be a
    guess: those are planned each time.
    """

    def __init__(self) -> None:
        self._beyond_scan = False
        self._measure_at = 0.0
        self._filters: dict[int, _Known] = {}

    def way(self, question: Question, matching: EventFilter, limit: int) -> Way:
        """How to find them."""
        if question.terms:
            return _planned(question, matching, limit)
        if matching == EventFilter():
            return Way(_nearest("TRUE", str(limit), "$2"), (question.vector, question.bring), PLANNED_ONCE)
        if matching.start_time is not None or matching.end_time is not None:
            return _planned(question, matching, limit)
        # Filters may be large, so a hash. Two of one hash would be found by the same plan, slower and no less right.
        key, now = hash((json.dumps(matching.metadata, sort_keys=True), limit)), time.monotonic()
        known = self._filters.pop(key, _Known())
        self._keep(key, known._replace(came=now))
        if now >= known.until:
            # Most filters come once: asking about one pays when it comes again soon.
            return replace(_planned(question, matching, limit), key=key, is_due=now - known.came < _HOLDS)
        if known.is_compared:
            return Way(
                COMPARED, (question.vector, matching.metadata, limit, question.bring), PLANNED_ONCE, is_exact=True
            )
        return _planned(question, matching, limit)

    async def find(
        self, connection: Connection, way: Way, question: Question, matching: EventFilter, limit: int
    ) -> Found:
        """The nearest events.

        The index comes first. It looks at a bounded number of rows of each partition: with a filter it may come back
        with less than was asked for, or miss what is near in one partition and fill up from another. Where it may, and
        where few rows match, all of those are compared.
        """
        if way.is_exact:
            found = Found(await connection.fetch(way.sql, *way.arguments))
        else:
            found = await self._by_index(connection, way, _planned(question, matching, limit), matching, limit)
        await _require_space(connection, question.space, found.rows)
        return found

    async def _by_index(
        self, connection: Connection, way: Way, planned: Way, matching: EventFilter, limit: int
    ) -> Found:
        may_miss = matching != EventFilter() and await self._is_beyond_scan(connection)
        if may_miss and await _match_few(connection, matching):
            self._remember(way.key, is_compared=True)
            return Found(await _exactly(connection, planned))
        found = Found(await connection.fetch(way.sql, *way.arguments), may_miss)
        if len(found.rows) < limit:
            found = Found(await _exactly(connection, planned))
        if way.is_due:
            self._remember(way.key, is_compared=await _compares(connection, planned))
        return found

    async def _is_beyond_scan(self, connection: Connection) -> bool:
        """Whether there is a partition that a scan may not go through; sizes are looked at now and then."""
        if time.monotonic() >= self._measure_at:
            self._beyond_scan = await connection.fetchval(BEYOND_SCAN, _SCANNED)
            self._measure_at = time.monotonic() + _HOLDS
        return self._beyond_scan

    def _remember(self, key: int | None, *, is_compared: bool) -> None:
        if key is not None:
            now = time.monotonic()
            self._keep(key, _Known(now, is_compared, until=now + _HOLDS))

    def _keep(self, key: int, known: _Known) -> None:
        self._filters[key] = known
        if len(self._filters) > _FILTERS:
            del self._filters[next(iter(self._filters))]  # the one that came least lately


def _planned(question: Question, matching: EventFilter, limit: int) -> Way:
    return Way(NEAREST, (question.vector, *conditions(matching), limit, question.bring))


async def _require_space(connection: Connection, space: EmbeddingSpace | None, rows: Sequence[Row]) -> None:
    """Raise unless the vectors that were compared are of this space."""
    recorded = rows[0]["fingerprint"] if rows else None
    if recorded is not None and (space is None or space.fingerprint == recorded):
        return
    row = await connection.fetchrow(SPACE, EVENTS_COLUMN, [])
    require_same_space(space_of(row), space, has_unrecorded_vectors=has_unrecorded_vectors(row))


async def _match_few(connection: Connection, matching: EventFilter) -> bool:
    return int(await connection.fetchval(MATCHES, _COMPARED, *conditions(matching))) < _COMPARED


async def _compares(connection: Connection, planned: Way) -> bool:
    """Whether the planner has all events that match compared, rather than taken in the order of an index."""
    # The vector does not matter to the planner, and would be printed once for each partition.
    _vector, *others = planned.arguments
    rows = await connection.fetch(f"EXPLAIN (COSTS OFF) {planned.sql}", _ANY_VECTOR, *others)
    lines: list[str] = [line.strip() for (line,) in rows]
    return lines[lines.index("->  Limit") + 1] == "->  Sort"


async def _exactly(connection: Connection, planned: Way) -> list[Row]:
    """The nearest of all rows that match."""
    await connection.execute(EXACT)
    rows = await connection.fetch(planned.sql, *planned.arguments)
    await connection.execute(ANY_INDEX)
    return rows
