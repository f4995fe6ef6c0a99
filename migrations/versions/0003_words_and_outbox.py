"""Words to search by, attempts at embedding, deleted keys, switches, the job that changes the model.

Revision: 0003
Follows: 0002

Only adds: columns that are empty in the rows that are there, which the store fills in the background. No table is
rewritten; `events` is locked exclusively for the time of reading it a few times.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column("events", sa.Column("terms", ARRAY(sa.BigInteger)))
    op.add_column("events", sa.Column("term_counts", ARRAY(sa.Integer)))
    op.add_column("events", sa.Column("term_total", sa.Integer))
    op.add_column("events", sa.Column("embedding_attempts", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("events", sa.Column("embedding_error", sa.Text))
    op.add_column("events", sa.Column("embedding_retry_time", _TIME))
    op.create_index("ix_events_terms", "events", ["terms"], postgresql_using="gin")
    op.create_index("ix_events_without_terms", "events", ["timestamp", "id"], postgresql_where=sa.text("terms IS NULL"))
    op.create_index(
        "ix_events_failed", "events", ["timestamp", "id"], postgresql_where=sa.text("embedding_state = 'FAILED'")
    )
    op.add_column("event_keys", sa.Column("delete_time", _TIME))
    op.create_index(
        "ix_event_keys_delete_time",
        "event_keys",
        ["delete_time"],
        postgresql_where=sa.text("delete_time IS NOT NULL"),
    )
    _create_lexical_tables()
    op.create_table(
        "switches",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", JSONB, nullable=False),
        sa.Column("update_time", _TIME, nullable=False, server_default=sa.text("now()")),
        comment="What operators set for all stores of this database",
    )
    op.create_table(
        "reembed_job",
        sa.Column("one_row", sa.Boolean, primary_key=True, server_default=sa.text("true")),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("position_timestamp", _TIME),
        sa.Column("position_id", UUID),
        sa.Column("recall", sa.Double),
        sa.Column("create_time", _TIME, nullable=False, server_default=sa.text("now()")),
        sa.Column("update_time", _TIME, nullable=False, server_default=sa.text("now()")),
        sa.CheckConstraint("one_row", name=op.f("reembed_job_one_row_check")),
        sa.CheckConstraint(
            "phase IN ('FILLING', 'INDEXING', 'VERIFYING', 'READY', 'SWAPPED')", name=op.f("reembed_job_phase_check")
        ),
        comment="How far the change to another model got; no row when none is under way",
    )
    for statement in _FUNCTIONS:
        op.execute(statement)


def downgrade() -> None:
    """Back to 0002, with all events. Lost: their words, which 0003 would find again, and the reasons of failures."""
    for name in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER events_words_{name} ON events")
        op.execute(f"DROP FUNCTION count_words_{name}()")
    for table in ("reembed_job", "switches", "lexical_changes", "lexical_totals", "lexical_terms"):
        op.drop_table(table)
    # What was deleted is gone; only its keys were kept.
    op.execute("DELETE FROM event_keys WHERE delete_time IS NOT NULL")
    op.drop_index("ix_event_keys_delete_time", "event_keys")
    op.drop_column("event_keys", "delete_time")
    for index in ("ix_events_failed", "ix_events_without_terms", "ix_events_terms"):
        op.drop_index(index, "events")
    for column in (
        "embedding_retry_time",
        "embedding_error",
        "embedding_attempts",
        "term_total",
        "term_counts",
        "terms",
    ):
        op.drop_column("events", column)


def _create_lexical_tables() -> None:
    op.create_table(
        "lexical_terms",
        sa.Column("term", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("documents", sa.BigInteger, nullable=False),
        comment="How many events have a word",
    )
    op.create_table(
        "lexical_totals",
        sa.Column("one_row", sa.Boolean, primary_key=True, server_default=sa.text("true")),
        sa.Column("documents", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.CheckConstraint("one_row", name=op.f("lexical_totals_one_row_check")),
        comment="How many events have words, and how many words they have in all",
    )
    op.create_table(
        "lexical_changes",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("terms", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("deltas", ARRAY(sa.Integer), nullable=False),
        sa.Column("documents", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        comment="What writes add to lexical_terms and lexical_totals: a row each, so that writers do not wait",
    )
    op.execute("INSERT INTO lexical_totals (documents, length) VALUES (0, 0)")


# One row a statement that wrote, whatever wrote it. The store folds the rows into the counts now and then, and a search
# adds those that are still there: writers of common words never wait for each other.
_COUNT = """
    INSERT INTO lexical_changes (terms, deltas, documents, length)
    SELECT coalesce(words.terms, '{{}}'), coalesce(words.deltas, '{{}}'), total.documents, total.length
    FROM (
        SELECT coalesce(sum(sign) FILTER (WHERE term_total > 0), 0) AS documents,
               coalesce(sum(sign * term_total), 0) AS length
        FROM ({rows}) AS changed
    ) AS total,
    (
        SELECT array_agg(term ORDER BY term) AS terms, array_agg(delta ORDER BY term) AS deltas
        FROM (
            SELECT term, sum(sign)::integer AS delta
            FROM ({rows}) AS changed, unnest(changed.terms) AS term
            GROUP BY term HAVING sum(sign) <> 0
        ) AS counted
    ) AS words
    WHERE words.terms IS NOT NULL OR total.documents <> 0 OR total.length <> 0;
"""

_MOVED = """
    SELECT {sign} AS sign, {side}.terms, {side}.term_total
    FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id AND new_rows.timestamp = old_rows.timestamp
    WHERE (old_rows.terms, old_rows.term_total) IS DISTINCT FROM (new_rows.terms, new_rows.term_total)
"""

_ROWS = {
    "insert": "SELECT 1 AS sign, terms, term_total FROM new_rows",
    "update": _MOVED.format(sign=-1, side="old_rows") + " UNION ALL " + _MOVED.format(sign=1, side="new_rows"),
    "delete": "SELECT -1 AS sign, terms, term_total FROM old_rows",
}

_TABLES = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
}

_FUNCTIONS = [
    statement
    for name in ("insert", "update", "delete")
    for statement in (
        f"""
        CREATE FUNCTION count_words_{name}() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN {_COUNT.format(rows=_ROWS[name])} RETURN NULL; END $$
        """,
        f"""
        CREATE TRIGGER events_words_{name} AFTER {name} ON events {_TABLES[name]}
        FOR EACH STATEMENT EXECUTE FUNCTION count_words_{name}()
        """,
    )
]
