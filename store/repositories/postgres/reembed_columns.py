"""Adding, exchanging and dropping columns of vectors: each in one short transaction that nobody works beside."""

from store.database import Connection
from store.errors import ReembedRefusedError
from store.events import EmbeddingSpace
from store.repositories.postgres.exclusively import exclusively
from store.repositories.reembed import OtherColumn
from store.spaces import EVENTS_COLUMN, NEXT_COLUMN, OLD_COLUMN

INDEX = "ix_events_embedding"
# Adoption gives names such as ix_events_embedding_old to indexes of others.
NEXT_INDEX = "ix_events_next_embedding"
OLD_INDEX = "ix_events_old_embedding"
UNFILLED_INDEX = "ix_events_unfilled_embedding"

#: What the table of spaces calls each column.
SPACES = {OtherColumn.NEXT: NEXT_COLUMN, OtherColumn.OLD: OLD_COLUMN}

_INDEXES = {OtherColumn.NEXT: NEXT_INDEX, OtherColumn.OLD: OLD_INDEX}

RECORD_SPACE = """
    INSERT INTO embedding_spaces (column_name, model_name, revision, dimension, fingerprint)
    VALUES ($1, $2, $3, $4, $5)
"""
RENAME_SPACE = "UPDATE embedding_spaces SET column_name = $2 WHERE column_name = $1"
FORGET_SPACE = "DELETE FROM embedding_spaces WHERE column_name = $1"

BEGIN_JOB = "INSERT INTO reembed_job (phase) VALUES ('FILLING')"
SWAP_JOB = "UPDATE reembed_job SET phase = 'SWAPPED', update_time = now()"
RESTART_JOB = """
    UPDATE reembed_job
    SET phase = 'FILLING', position_timestamp = NULL, position_id = NULL, recall = NULL, update_time = now()
"""
END_JOB = "DELETE FROM reembed_job"

# Whoever changes the content of an event makes the vector in the other column wrong, and need not know that there is
# one.
GUARD = [
    """
    CREATE FUNCTION forget_other_vector() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN {assignments} RETURN NEW; END $$
    """,
    """
    CREATE TRIGGER events_forget_other_vector BEFORE UPDATE OF content ON events FOR EACH ROW
    WHEN (OLD.content IS DISTINCT FROM NEW.content) EXECUTE FUNCTION forget_other_vector()
    """,
]
UNGUARD = [
    "DROP TRIGGER IF EXISTS events_forget_other_vector ON events",
    "DROP FUNCTION IF EXISTS forget_other_vector()",
]

# Those of the partitions get their names from that of the whole.
RENAME_PARTITIONS_INDEXES = """
    DO $$
    DECLARE part record;
    BEGIN
        FOR part IN
            SELECT i.indexrelid::regclass::text AS name,
                   left('{new}', 50) || substr(t.relname, length('events') + 1) AS wanted
            FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid JOIN pg_class t ON t.oid = i.indrelid
            WHERE h.inhparent = to_regclass('{new}')
        LOOP
            EXECUTE format('ALTER INDEX %s RENAME TO %I', part.name, part.wanted);
        END LOOP;
    END $$
"""

FIRST_UNFILLED = "SELECT count(*) FROM (SELECT FROM events WHERE {unfilled} LIMIT $1) AS first"

# Found by the index over unfilled events.
SETTLE_UNFILLED = """
    UPDATE events
    SET embedding_state = CASE WHEN {error} IS NULL THEN 'PENDING' ELSE 'FAILED' END,
        embedding_error = {error}, embedding_attempts = 0, embedding_retry_time = NULL
    WHERE embedding_state = 'EMBEDDED' AND {column} IS NULL
"""

# What the new model refused, or had not come to, has its old vector still; one of changed content has not. By state,
# because each has an index of its own.
RESTORE = """
    UPDATE events
    SET embedding_state = 'EMBEDDED', embedding_error = NULL, embedding_attempts = 0, embedding_retry_time = NULL
    WHERE embedding_state = '{state}' AND embedding_old IS NOT NULL
"""

FOREIGN_COLUMN = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = to_regclass('events') AND attname IN ('embedding_next', 'embedding_next_error', 'embedding_old')
      AND NOT attisdropped
"""


def unfilled_condition(column: OtherColumn, *, refused: bool = False) -> str:
    """SQL for events without a vector in `column`; with `refused` those that the model refused, too."""
    condition = f"embedding_state = 'EMBEDDED' AND {column} IS NULL"
    if column is OtherColumn.NEXT and not refused:
        condition += " AND embedding_next_error IS NULL"
    return condition


async def add_column(connection: Connection, space: EmbeddingSpace) -> None:
    """Add the column of the next model, empty."""

    async def add() -> None:
        if name := await connection.fetchval(FOREIGN_COLUMN):
            raise ReembedRefusedError(f"events has a column {name} that is not ours: rename or drop it")
        await connection.execute(
            f"ALTER TABLE events ADD COLUMN embedding_next vector({space.dimension}), "
            "ADD COLUMN embedding_next_error text"
        )
        await _guard(connection, OtherColumn.NEXT)
        await connection.execute(
            RECORD_SPACE, NEXT_COLUMN, space.model_name, space.revision, space.dimension, space.fingerprint
        )
        await connection.execute(BEGIN_JOB)

    await exclusively(connection, add)


async def swap_columns(connection: Connection, most_unfilled: int) -> bool:
    """See ReembedRepository.swap."""

    async def swap() -> bool:
        if await _has_more_unfilled(connection, OtherColumn.NEXT, most_unfilled):
            return False
        await connection.execute(SETTLE_UNFILLED.format(column="embedding_next", error="embedding_next_error"))
        await _exchange(connection, comes=OtherColumn.NEXT, goes=OtherColumn.OLD)
        await _run(connection, "ALTER TABLE events DROP COLUMN embedding_next_error", SWAP_JOB)
        return True

    return await exclusively(connection, swap)


async def roll_back_columns(connection: Connection, most_unfilled: int) -> bool:
    """See ReembedRepository.roll_back."""

    async def roll_back() -> bool:
        if await _has_more_unfilled(connection, OtherColumn.OLD, most_unfilled):
            return False
        await connection.execute(SETTLE_UNFILLED.format(column="embedding_old", error="NULL::text"))
        for state in ("PENDING", "FAILED"):
            await connection.execute(RESTORE.format(state=state))
        await _exchange(connection, comes=OtherColumn.OLD, goes=OtherColumn.NEXT)
        await _run(connection, "ALTER TABLE events ADD COLUMN embedding_next_error text", RESTART_JOB)
        return True

    return await exclusively(connection, roll_back)


async def drop_column(connection: Connection, column: OtherColumn) -> None:
    """See ReembedRepository.drop. Its indexes go with it."""

    async def drop() -> None:
        await _run(
            connection,
            *UNGUARD,
            f"DROP INDEX IF EXISTS {UNFILLED_INDEX}",
            f"ALTER TABLE events DROP COLUMN {column}, DROP COLUMN IF EXISTS embedding_next_error",
        )
        await connection.execute(FORGET_SPACE, SPACES[column])
        await connection.execute(END_JOB)

    await exclusively(connection, drop)


async def _exchange(connection: Connection, *, comes: OtherColumn, goes: OtherColumn) -> None:
    """Put the column `comes` in the place of the one in use, which becomes `goes`, with their indexes and spaces."""
    await _run(
        connection,
        f"DROP INDEX {UNFILLED_INDEX}",
        f"ALTER TABLE events RENAME COLUMN embedding TO {goes}",
        f"ALTER TABLE events RENAME COLUMN {comes} TO embedding",
        *_rename_index(INDEX, _INDEXES[goes]),
        *_rename_index(_INDEXES[comes], INDEX),
    )
    await _guard(connection, goes)
    await connection.execute(RENAME_SPACE, EVENTS_COLUMN, SPACES[goes])
    await connection.execute(RENAME_SPACE, SPACES[comes], EVENTS_COLUMN)


async def _has_more_unfilled(connection: Connection, column: OtherColumn, most: int) -> bool:
    statement = FIRST_UNFILLED.format(unfilled=unfilled_condition(column))
    return bool(await connection.fetchval(statement, most + 1) > most)


async def _guard(connection: Connection, column: OtherColumn) -> None:
    """Have a change of content empty `column`, and no other one."""
    cleared = [column.value] + (["embedding_next_error"] if column is OtherColumn.NEXT else [])
    assignments = " ".join(f"NEW.{name} := NULL;" for name in cleared)
    await _run(connection, *UNGUARD, *(statement.replace("{assignments}", assignments) for statement in GUARD))


def _rename_index(old: str, new: str) -> list[str]:
    return [f"ALTER INDEX {old} RENAME TO {new}", RENAME_PARTITIONS_INDEXES.replace("{new}", new)]


async def _run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        await connection.execute(statement)
