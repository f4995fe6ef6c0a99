"""Search in PostgreSQL: by vector, by words, and both."""

from collections.abc import Sequence
from uuid import UUID

from store.bm25 import Weights
from store.database import Connection, Database
from store.events import Event, EventFilter, Vector
from store.repositories.postgres.lexical_search import best_by_words, both_scores, weigh
from store.repositories.postgres.nearest import MATCHING, Nearest
from store.repositories.postgres.rows import EVENT_COLUMNS, conditions, event_of
from store.repositories.postgres.time_left import milliseconds_left
from store.repositories.search import Candidate, Candidates, Question

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

# The keys know the timestamp, and it the partition. The filter once more: an event may have changed meanwhile.
EVENTS = f"""
    SELECT {EVENT_COLUMNS}
    FROM events
    JOIN (SELECT event_id, timestamp AS at FROM event_keys WHERE event_id = ANY($1::uuid[])) AS k
      ON k.event_id = id AND k.at = timestamp
    WHERE {MATCHING}
"""

# What others wrote beside the store has no key.
EVENTS_WITHOUT_KEY = f"""
    SELECT {EVENT_COLUMNS} FROM events WHERE id = ANY($1::uuid[]) AND {MATCHING} ORDER BY timestamp
"""


#: Rows of both arms begin with these.
_OF_CANDIDATE = len(Candidate._fields)


class PostgresSearch:
    """See SearchRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._nearest = Nearest()

    async def candidates(self, question: Question, matching: EventFilter, limit: int) -> Candidates:
        """See SearchRepository."""
        way = self._nearest.way(question, matching, limit)
        settings = SETTINGS.format(timeout=milliseconds_left())
        async with self._database.reading(settings + way.settings) as connection:
            weighed = await weigh(connection, question.terms, matching)
            by_words = await best_by_words(connection, weighed, matching, question.recency, limit)
            found = [Candidate(*row[:_OF_CANDIDATE]) for row in by_words.rows]
            if question.vector is None:
                return Candidates(found, weighed.weights.most, by_words.unseen)
            rows, may_miss = await self._nearest.find(connection, way, question, matching, limit)
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
