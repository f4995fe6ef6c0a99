"""The counts of words in PostgreSQL."""

from store.database import Database

#: Changes folded in one transaction, and the words that they may have in all. One change is a statement that wrote: a
#: large batch may have half a million words by itself, and is folded alone.
_CHANGES = 200
_WORDS = 500_000

# The row of totals is the lock of those who fold: one at a time, so that they cannot wait for each other in a circle.
TURN = "SELECT one_row FROM lexical_totals FOR UPDATE SKIP LOCKED"

# How many words a change has is told by its size: hashes do not compress, and an array that is counted is read.
FOLD = """
    WITH oldest AS (
        SELECT id, pg_column_size(terms) / 8 AS words FROM lexical_changes ORDER BY id LIMIT $1
    ), summed AS (
        SELECT id, sum(words) OVER (ORDER BY id) AS words, row_number() OVER (ORDER BY id) AS place FROM oldest
    ), taken AS (
        DELETE FROM lexical_changes
        WHERE id = ANY(ARRAY(SELECT id FROM summed WHERE words <= $2 OR place = 1))
        RETURNING terms, deltas, documents, length
    ), changed AS (
        SELECT word.term, sum(word.delta) AS documents
        FROM taken, unnest(taken.terms, taken.deltas) AS word (term, delta)
        GROUP BY word.term HAVING sum(word.delta) <> 0
    ), folded AS (
        INSERT INTO lexical_terms AS known (term, documents) SELECT term, documents FROM changed
        ON CONFLICT (term) DO UPDATE SET documents = known.documents + excluded.documents
        RETURNING term, documents
    ), total AS (
        UPDATE lexical_totals AS known
        SET documents = known.documents + added.documents, length = known.length + added.length
        FROM (SELECT sum(documents) AS documents, sum(length) AS length FROM taken) AS added
        WHERE added.documents IS NOT NULL
    )
    SELECT (SELECT count(*) FROM taken) AS changes,
           ARRAY(SELECT term FROM folded WHERE documents = 0) AS gone
"""

FORGET = "DELETE FROM lexical_terms WHERE term = ANY($1::bigint[]) AND documents = 0"


class PostgresLexical:
    """See LexicalRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fold(self) -> int:
        """See LexicalRepository."""
        async with self._database.transaction() as connection:
            if await connection.fetchrow(TURN) is None:
                return 0
            [folded] = await connection.fetch(FOLD, _CHANGES, _WORDS)
            if folded["gone"]:
                await connection.execute(FORGET, folded["gone"])
        return int(folded["changes"])
