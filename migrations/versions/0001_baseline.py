"""The tables of the monolith: made on an empty database, adopted where they exist.

Revision: 0001
Follows: nothing
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util.exc import CommandError
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.TIMESTAMP(timezone=True)
_NOW = sa.text("now()")
_EMPTY = sa.text("'{}'::jsonb")

#: What Trimem needs of a table that it adopts: column to type, as PostgreSQL names it.
_NEEDED = {
    "events": {
        "id": "uuid",
        "timestamp": "timestamp with time zone",
        "content": "jsonb",
        "metadata": "jsonb",
        "embedding": "vector",
    },
    "nodes": {"node_id": "uuid", "node_type": "text", "label": "text", "properties": "jsonb"},
    "edges": {
        "edge_id": "uuid",
        "source_node_id": "uuid",
        "target_node_id": "uuid",
        "relation_type": "text",
        "properties": "jsonb",
    },
}


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    for table, create in (("events", _create_events), ("nodes", _create_nodes), ("edges", _create_edges)):
        if not _adopted(table):
            create()


def downgrade() -> None:
    raise CommandError(
        "the baseline cannot be undone: it would drop events, nodes and edges with all rows, which may be older than "
        "Trimem. To get rid of the data drop the database itself; to go back in time restore a backup"
    )


def _adopted(table: str) -> bool:
    """Whether the table exists. Raises CommandError when it is not the monolith's."""
    if context.is_offline_mode():  # statements are for an empty database
        return False
    rows = op.get_bind().execute(
        sa.text(
            "SELECT column_name, CASE data_type WHEN 'USER-DEFINED' THEN udt_name ELSE data_type END AS kind "
            "FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = :table"
        ),
        {"table": table},
    )
    found: dict[str, str] = {row.column_name: row.kind for row in rows}
    if not found:
        return False
    for column, kind in _NEEDED[table].items():
        if found.get(column) != kind:
            raise CommandError(
                f"the table {table} exists and is not one that Trimem can adopt: its column {column} should be of type "
                f"{kind} and is {found.get(column, 'missing')}. Nothing was changed"
            )
    return True


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", UUID, nullable=False),
        sa.Column("timestamp", _TIME, nullable=False, server_default=_NOW),
        sa.Column("content", JSONB, nullable=False),
        sa.Column("metadata", JSONB, server_default=_EMPTY),
        sa.Column("embedding", VECTOR(context.config.attributes["plan"].dimension)),
        sa.PrimaryKeyConstraint("id", "timestamp"),
    )
    op.create_index("ix_events_timestamp", "events", ["timestamp"])
    op.create_index(
        "ix_events_metadata",
        "events",
        ["metadata"],
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
    )
    op.create_index(
        "ix_events_embedding",
        "events",
        ["embedding"],
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
    )


def _create_nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("node_id", UUID, primary_key=True),
        sa.Column("node_type", sa.Text, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("properties", JSONB, server_default=_EMPTY),
        sa.Column("created_at", _TIME, server_default=_NOW),
    )
    op.create_index("ix_nodes_node_type", "nodes", ["node_type"])


def _create_edges() -> None:
    op.create_table(
        "edges",
        sa.Column("edge_id", UUID, primary_key=True, server_default=sa.text("gen_random_uuid()")),
        sa.Column("source_node_id", UUID, nullable=False),
        sa.Column("target_node_id", UUID, nullable=False),
        sa.Column("relation_type", sa.Text, nullable=False),
        sa.Column("properties", JSONB, server_default=_EMPTY),
        sa.Column("created_at", _TIME, server_default=_NOW),
    )
    op.create_index("ix_edges_source_node_id", "edges", ["source_node_id"])
    op.create_index("ix_edges_target_node_id", "edges", ["target_node_id"])
    op.create_index("ix_edges_relation_type", "edges", ["relation_type"])
