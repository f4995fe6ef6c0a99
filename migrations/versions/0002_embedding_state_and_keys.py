"""What Trimem adds to the monolith's tables: embedding states, times, unique ids, embedding spaces.

Revision: 0002
Follows: 0001

Every row stays where it is. `events` is locked exclusively for the time of reading it a few times and of building the
indexes that it lacks; the HNSW index is kept.
"""

from collections.abc import Callable
from functools import partial

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import UUID

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.TIMESTAMP(timezone=True)
_NOW = sa.text("now()")


def upgrade() -> None:
    # At once what is needed in the end: who changes rows and then asks for more may wait in a circle with a writer.
    op.execute("LOCK TABLE events, nodes, edges IN ACCESS EXCLUSIVE MODE")
    _normalise_graph()
    _fill_events()
    _normalise_primary_key()
    op.create_check_constraint(
        op.f("events_embedding_state_check"),
        "events",
        "embedding_state IN ('EMBEDDED', 'PENDING', 'SKIPPED', 'FAILED')",
    )
    for table, name, definition, create in _INDEXES:
        _ensure_index(table, name, definition, create)
    op.execute("DROP INDEX IF EXISTS ix_events_timestamp")  # (timestamp, id) does its work
    _create_event_keys()
    op.create_table(
        "embedding_spaces",
        sa.Column("column_name", sa.Text, primary_key=True),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("create_time", _TIME, nullable=False, server_default=_NOW),
        comment="Which model made the vectors of a column",
    )


def downgrade() -> None:
    """Back to a shape that the monolith knows, with all events. The key stays (id, timestamp), which is one of them.

    Lost: request ids, states, times and the record of which model made the vectors.
    """
    op.drop_table("embedding_spaces")
    op.drop_table("event_keys")
    op.drop_index("ix_events_pending", "events")
    op.drop_index("ix_events_timestamp_id", "events")
    op.create_index("ix_events_timestamp", "events", ["timestamp"])
    op.drop_constraint(op.f("events_embedding_state_check"), "events", type_="check")
    for column in ("update_time", "create_time", "embedding_state"):
        op.drop_column("events", column)
    op.alter_column("events", "metadata", nullable=True)


def _fill_events() -> None:
    op.execute("UPDATE events SET metadata = '{}' WHERE metadata IS NULL OR metadata = 'null'")
    # A constant default is written down once, not into every row: nothing is rewritten, no index is built again.
    op.execute(
        "ALTER TABLE events ADD COLUMN embedding_state text NOT NULL DEFAULT 'EMBEDDED', "
        "ADD COLUMN create_time timestamptz, ADD COLUMN update_time timestamptz"
    )
    op.execute("UPDATE events SET embedding_state = 'PENDING' WHERE embedding IS NULL")
    # Rows from before have no times; their readers take the timestamp instead.
    op.execute(
        """
        ALTER TABLE events
        ALTER COLUMN embedding_state SET DEFAULT 'PENDING',
        ALTER COLUMN create_time SET DEFAULT now(),
        ALTER COLUMN update_time SET DEFAULT now(),
        ALTER COLUMN "timestamp" SET DEFAULT now(),
        ALTER COLUMN "timestamp" SET NOT NULL,
        ALTER COLUMN content SET NOT NULL,
        ALTER COLUMN metadata SET DEFAULT '{}',
        ALTER COLUMN metadata SET NOT NULL,
        ALTER COLUMN embedding DROP NOT NULL
        """
    )
    columns = _columns("events")
    for column in ("created_at", "updated_at"):
        if column in columns:  # kept as they were, and not written any more
            op.alter_column("events", column, nullable=True)


def _normalise_primary_key() -> None:
    if context.is_offline_mode():
        return
    found = (
        op.get_bind()
        .execute(
            sa.text(
                "SELECT c.conname, array_agg(a.attname::text ORDER BY k.place) FROM pg_constraint c "
                "CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k (attnum, place) "
                "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum "
                "WHERE c.conrelid = to_regclass('events') AND c.contype = 'p' GROUP BY c.conname"
            )
        )
        .one_or_none()
    )
    if found is not None and found[1] == ["id", "timestamp"]:
        return
    if found is not None:
        op.drop_constraint(op.f(found[0]), "events", type_="primary")
    op.create_primary_key(op.f("events_pkey"), "events", ["id", "timestamp"])


def _create_event_keys() -> None:
    op.create_table(
        "event_keys",
        sa.Column("event_id", UUID, primary_key=True),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.UniqueConstraint("request_id", name=op.f("event_keys_request_id_key")),
        comment="One row an event: ids are unique over all partitions, and a request_id writes once",
    )
    # Under the key (id, timestamp) the monolith could store an id twice. Both rows stay; the newest has the id.
    op.execute(
        "INSERT INTO event_keys (event_id, timestamp) "
        'SELECT DISTINCT ON (id) id, "timestamp" FROM events ORDER BY id, "timestamp" DESC'
    )


def _normalise_graph() -> None:
    """Installations differ in what may be NULL in nodes and edges."""
    for table in ("nodes", "edges"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS created_at timestamptz DEFAULT now()")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN created_at DROP NOT NULL, ALTER COLUMN properties DROP NOT NULL")
    op.execute("ALTER TABLE nodes ALTER COLUMN label DROP NOT NULL")
    op.execute("ALTER TABLE edges ALTER COLUMN edge_id SET DEFAULT gen_random_uuid()")


def _columns(table: str) -> set[str]:
    if context.is_offline_mode():  # the shape that 0001 makes
        return set()
    rows = op.get_bind().execute(
        sa.text(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND table_name = :table"
        ),
        {"table": table},
    )
    return set(rows.scalars())


def _ensure_index(table: str, name: str, definition: str, create: Callable[[], None]) -> None:
    """Have the index under our name: rename one that is the same, else make it.

    One of our name that is something else is moved out of the way and left to its owner.
    """
    found = _index_definitions(table)
    if found.get(name) == definition:
        return
    if name in found:
        op.execute(f'ALTER INDEX "{name}" RENAME TO "{name}_old"')
    twin = next((other for other, what in found.items() if what == definition), None)
    if twin is not None:
        quoted = twin.replace('"', '""')
        op.execute(f'ALTER INDEX "{quoted}" RENAME TO "{name}"')
        return
    create()


def _index_definitions(table: str) -> dict[str, str]:
    """Usable indexes by name: `hnsw (embedding vector_cosine_ops)`, build parameters left out."""
    if context.is_offline_mode():
        return {name: definition for of, name, definition, _ in _INDEXES if of == table and name in _MADE_BY_0001}
    rows = op.get_bind().execute(
        sa.text(
            "SELECT c.relname, regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ([^)]*\\)).*$', '\\1'), "
            "i.indisvalid AND i.indpred IS NULL AND NOT i.indisunique "
            "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(:table)"
        ),
        {"table": table},
    )
    return {name: definition if usable else "" for name, definition, usable in rows}


_MADE_BY_0001 = {
    "ix_events_metadata",
    "ix_events_embedding",
    "ix_nodes_node_type",
    "ix_edges_source_node_id",
    "ix_edges_target_node_id",
    "ix_edges_relation_type",
}


def _plain(table: str, column: str) -> tuple[str, str, str, Callable[[], None]]:
    name = f"ix_{table}_{column}"
    return table, name, f"btree ({column})", partial(_create, name, table, [column])


def _create(name: str, table: str, columns: list[str]) -> None:
    op.create_index(name, table, columns)


def _create_metadata_index() -> None:
    op.create_index(
        "ix_events_metadata",
        "events",
        ["metadata"],
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
    )


def _create_embedding_index() -> None:
    op.create_index(
        "ix_events_embedding",
        "events",
        ["embedding"],
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
    )


def _create_pending_index() -> None:
    op.create_index(
        "ix_events_pending",
        "events",
        ["timestamp", "id"],
        postgresql_where=sa.text("embedding_state = 'PENDING'"),
    )


#: Table, our name, what it is, how to make it.
_INDEXES: list[tuple[str, str, str, Callable[[], None]]] = [
    ("events", "ix_events_embedding", "hnsw (embedding vector_cosine_ops)", _create_embedding_index),
    ("events", "ix_events_metadata", "gin (metadata jsonb_path_ops)", _create_metadata_index),
    (
        "events",
        "ix_events_timestamp_id",
        'btree ("timestamp", id)',
        partial(_create, "ix_events_timestamp_id", "events", ["timestamp", "id"]),
    ),
    ("events", "ix_events_pending", "a partial index, always made", _create_pending_index),
    _plain("nodes", "node_type"),
    _plain("edges", "source_node_id"),
    _plain("edges", "target_node_id"),
    _plain("edges", "relation_type"),
]
