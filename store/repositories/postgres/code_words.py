"""Search for code by words in PostgreSQL: BM25 over what the index of words finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from store.bm25 import Weights, weights
from store.database import Connection
from store.repositories.postgres.code_filter import MATCHING, Conditions
from store.repositories.postgres.lexical_search import LOOKUPS, MOST_EVENTS, SCORE, UNPACKED

#: A word that no commit has counted is looked for in chunks: up to so many.
_COUNTED = 1_000
#: Chunks that tell how long chunks are, before any commit has.
_SAMPLE = 1_000

# Counts are as of the last commit. Words that came since, and repositories without one, are counted here.
STATISTICS = f"""
    WITH searched AS (
        SELECT repository, chunks, length, commit_time FROM code_repositories WHERE $2::text IS NULL OR repository = $2
    ), committed AS (
        SELECT coalesce(sum(chunks), 0)::bigint AS documents, coalesce(sum(length), 0)::bigint AS length FROM searched
    ), others AS (
        SELECT coalesce(sum(f.chunk_count), 0)::bigint AS documents
        FROM searched AS s JOIN code_files AS f USING (repository) WHERE s.commit_time IS NULL
    ), known AS (
        SELECT t.term, sum(t.chunks)::bigint AS containing
        FROM searched AS s JOIN code_terms AS t USING (repository) WHERE t.term = ANY($1::bigint[])
        GROUP BY t.term
    )
    SELECT wanted.term, committed.documents AS committed, committed.length, others.documents AS others,
           CASE WHEN known.containing > 0 THEN known.containing ELSE (
               SELECT count(*) FROM (
                   SELECT FROM code_chunks AS c
                   WHERE c.terms @> ARRAY[wanted.term] AND ($2::text IS NULL OR c.repository = $2)
                   LIMIT {_COUNTED}
               ) AS found
           ) END AS containing,
           CASE WHEN committed.documents = 0 THEN (
               SELECT avg(term_total)::float8 FROM (
                   SELECT c.term_total FROM code_chunks AS c
                   WHERE $2::text IS NULL OR c.repository = $2
                   LIMIT {_SAMPLE}
               ) AS sample
           ) END AS sampled
    FROM unnest($1::bigint[]) AS wanted (term)
    CROSS JOIN committed CROSS JOIN others
    LEFT JOIN known ON known.term = wanted.term
"""

# Filter; terms to find chunks by; terms, weights, average; how many to look at; how many to return.
BY_WORDS = f"""
    SELECT e.id, count(*) OVER () AS looked_at
    FROM (
        SELECT c.id, {UNPACKED.format(average="$9")}
        FROM code_chunks AS c
        WHERE c.terms && $6::bigint[] AND {MATCHING}
        LIMIT $10
    ) AS e
    CROSS JOIN LATERAL ({SCORE.format(terms="$7", idf="$8")}) AS scored
    ORDER BY scored.score DESC, e.id
    LIMIT $11
"""


@dataclass(frozen=True, slots=True)
class FoundByWords:
    """The best chunks, and the score that those which were not looked at may reach."""

    ids: list[UUID]
    unseen: float


async def weigh(connection: Connection, terms: Sequence[int], repository: str) -> Weights:
    """What the words of a query weigh in a repository, or in all."""
    rows = await connection.fetch(STATISTICS, terms, repository or None) if terms else []
    if not rows:
        return weights({}, 0, 0)
    first = rows[0]
    committed, others = first["committed"], first["others"]
    average = first["length"] / committed if committed else first["sampled"] or 0.0
    return weights(
        {row["term"]: row["containing"] for row in rows},
        committed + others,
        first["length"] + round(others * average),
    )


async def best_by_words(connection: Connection, weighed: Weights, filters: Conditions, limit: int) -> FoundByWords:
    """The chunks with the best scores."""
    if not weighed.terms:
        return FoundByWords([], 0.0)
    budget = min(MOST_EVENTS, LOOKUPS // len(weighed.terms))
    rare, beyond = weighed.beyond(budget)
    rows = await connection.fetch(
        BY_WORDS, *filters, rare, weighed.terms, weighed.idf, weighed.average_length, budget, limit
    )
    cut = bool(rows) and rows[0]["looked_at"] == budget
    return FoundByWords([row["id"] for row in rows], weighed.most if cut else beyond)
