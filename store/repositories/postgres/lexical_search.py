"""Search by words in PostgreSQL: BM25 over what the index of words finds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from store.bm25 import K1, B, Weights, weights
from store.database import Connection
from store.events import EventFilter, Vector
from store.repositories.postgres.rows import Row, conditions, similarity, unix_time
from store.repositories.search import Recency

#: How often one search looks up a word in an event. A question of ten words is compared with
#: 20,000 events. Words that, together with rarer ones, are in more events than that find none by themselves; they
#: count in the scores of what the rarer ones find.
LOOKUPS = 200_000
#: Most events to look at, however few words there are: each costs something by itself.
MOST_EVENTS = 20_000

# One statement, so that it sees a change either folded or not. Changes are read as a whole: there are few of them. And
# whether there are events that nobody has looked for words in yet, as there are after an adoption.
STATISTICS = """
    WITH changed AS (
        SELECT word.term, sum(word.delta) AS documents
        FROM lexical_changes AS c, unnest(c.terms, c.deltas) AS word (term, delta)
        WHERE c.terms && $1::bigint[] AND word.term = ANY($1::bigint[])
        GROUP BY word.term
    ), total AS (
        SELECT sum(documents)::bigint AS documents, sum(length)::bigint AS length
        FROM (
            SELECT documents, length FROM lexical_totals
            UNION ALL SELECT documents, length FROM lexical_changes
        ) AS parts
    )
    SELECT wanted.term,
           (coalesce(known.documents, 0) + coalesce(changed.documents, 0))::bigint AS containing,
           total.documents, total.length,
           EXISTS (
               SELECT FROM events
               WHERE terms IS NULL
                 AND ($2::timestamptz IS NULL OR timestamp >= $2)
                 AND ($3::timestamptz IS NULL OR timestamp < $3)
           ) AS has_unread
    FROM unnest($1::bigint[]) AS wanted (term)
    CROSS JOIN total
    LEFT JOIN lexical_terms AS known ON known.term = wanted.term
    LEFT JOIN changed ON changed.term = wanted.term
"""

# The score of `e` for the words and their weights. Terms are sorted, and width_bucket looks them up by halving.
SCORE = f"""
    SELECT coalesce(sum(
        word.idf * {K1 + 1}::float8 * e.term_counts[place] / (e.term_counts[place] + e.held_against)
    ), 0) AS score
    FROM unnest({{terms}}::bigint[], {{idf}}::float8[]) AS word (term, idf),
         width_bucket(word.term, e.terms) AS place
    WHERE e.terms[place] = word.term
"""

# What SCORE reads. Joining nothing to an array unpacks one that is stored compressed, once instead of at every look.
UNPACKED = f"""
    terms || '{{{{}}}}'::bigint[] AS terms, term_counts || '{{{{}}}}'::integer[] AS term_counts,
    {K1}::float8 * ({1 - B}::float8 + {B}::float8 * term_total / {{average}}::float8) AS held_against
"""

# Terms to find events by, filter; terms, weights, average; how many to look at; recency; how many to return.
BY_WORDS = f"""
    SELECT e.id, {unix_time("e.timestamp")}, NULL::float8 AS similarity, scored.score, count(*) OVER () AS looked_at
    FROM (
        SELECT id, timestamp, {UNPACKED.format(average="$7")}
        FROM events
        WHERE terms && $1::bigint[]
          AND ($2::jsonb IS NULL OR metadata @> $2)
          AND ($3::timestamptz IS NULL OR timestamp >= $3)
          AND ($4::timestamptz IS NULL OR timestamp < $4)
        LIMIT $8
    ) AS e
    CROSS JOIN LATERAL ({SCORE.format(terms="$5", idf="$6")}) AS scored
    ORDER BY ln(scored.score) - $9::float8 * greatest(0, $10::float8 - extract(epoch FROM e.timestamp)) DESC, e.id
    LIMIT $11
"""

# Both scores of events that one arm found. The keys know the timestamp, and it the partition.
BOTH_SCORES = f"""
    SELECT e.id, {unix_time("e.timestamp")}, {similarity("e.distance")} AS similarity, scored.score
    FROM (
        SELECT e.id, e.timestamp, {UNPACKED.format(average="$5")},
               CASE WHEN embedding_state = 'EMBEDDED' THEN embedding <=> $2 END AS distance
        FROM event_keys AS k JOIN events AS e ON e.id = k.event_id AND e.timestamp = k.timestamp
        WHERE k.event_id = ANY($1::uuid[])
        OFFSET 0
    ) AS e
    CROSS JOIN LATERAL ({SCORE.format(terms="$3", idf="$4")}) AS scored
"""


@dataclass(frozen=True, slots=True)
class FoundByWords:
    """Rows of candidates, and the score that those which were not looked at may reach."""

    rows: list[Row]
    unseen: float


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the words of a query weigh now, and whether there are events that have words and none that we know."""

    weights: Weights
    has_unread: bool


async def weigh(connection: Connection, terms: Sequence[int], matching: EventFilter) -> Weighed:
    """Look the words up."""
    rows = await connection.fetch(STATISTICS, terms, matching.start_time, matching.end_time) if terms else []
    if not rows:
        return Weighed(weights({}, 0, 0), has_unread=False)
    containing = {row["term"]: row["containing"] for row in rows}
    first = rows[0]
    return Weighed(weights(containing, first["documents"] or 0, first["length"] or 0), first["has_unread"])


async def best_by_words(
    connection: Connection, weighed: Weighed, matching: EventFilter, recency: Recency | None, limit: int
) -> FoundByWords:
    """The events with the best scores, after recency."""
    weights = weighed.weights
    unseen = weights.most if weighed.has_unread else 0.0
    if not weights.terms:
        return FoundByWords([], unseen)
    budget = min(MOST_EVENTS, LOOKUPS // len(weights.terms))
    rare, beyond = weights.beyond(budget)
    rows = await connection.fetch(
        BY_WORDS,
        rare,
        *conditions(matching),
        weights.terms,
        weights.idf,
        weights.average_length,
        budget,
        *_decay(recency),
        limit,
    )
    cut = bool(rows) and rows[0]["looked_at"] == budget
    return FoundByWords(rows, weights.most if cut else max(unseen, beyond))


async def both_scores(connection: Connection, ids: Sequence[UUID], vector: Vector, weighed: Weights) -> list[Row]:
    """Rows of candidates."""
    if not ids:
        return []
    return await connection.fetch(BOTH_SCORES, ids, vector, weighed.terms, weighed.idf, weighed.average_length)


def _decay(recency: Recency | None) -> tuple[float, float]:
    """What a second of age takes from the logarithm of the score, and when age is 0."""
    if recency is None:
        return 0.0, 0.0
    return math.log(2) / recency.half_life, recency.now
