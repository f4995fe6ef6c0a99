"""The one description of the schema. Alembic compares the database with it; the data path shares its names."""

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    TIMESTAMP,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from store.events import EmbeddingState

#: What PostgreSQL calls things by itself, so that adopted and new tables look the same.
NAMING = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}


def build_metadata(dimension: int) -> MetaData:
    """The tables of the store, with vectors of `dimension`."""
    metadata = MetaData(naming_convention=NAMING)
    _events(metadata, dimension)
    _graph(metadata)
    return metadata


def _events(metadata: MetaData, dimension: int) -> None:
    states = ", ".join(f"'{state}'" for state in EmbeddingState)
    events = Table(
        "events",
        metadata,
        Column("id", UUID, nullable=False),
        Column("timestamp", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
        Column("content", JSONB, nullable=False),
        Column("metadata", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
        Column("embedding", VECTOR(dimension)),
        Column("embedding_state", Text, nullable=False, server_default=text("'PENDING'")),
        Column("create_time", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
        Column("update_time", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
        # The timestamp is part of the key because partitioning by time will ask for it; event_keys keeps ids unique.
        PrimaryKeyConstraint("id", "timestamp"),
        CheckConstraint(f"embedding_state IN ({states})", name="embedding_state"),
    )
    Index("ix_events_timestamp_id", events.c.timestamp, events.c.id)
    Index(
        "ix_events_metadata",
        events.c.metadata,
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
    )
    Index(
        "ix_events_embedding",
        events.c.embedding,
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
    )
    Index(
        "ix_events_pending",
        events.c.timestamp,
        events.c.id,
        postgresql_where=text("embedding_state = 'PENDING'"),
    )
    Table(
        "event_keys",
        metadata,
        Column("event_id", UUID, primary_key=True),
        Column("timestamp", TIMESTAMP(timezone=True), nullable=False),
        Column("request_id", Text),
        UniqueConstraint("request_id"),
        comment="One row an event: ids are unique over all partitions, and a request_id writes once",
    )
    Table(
        "embedding_spaces",
        metadata,
        Column("column_name", Text, primary_key=True),
        Column("model_name", Text, nullable=False),
        Column("revision", Text, nullable=False),
        Column("dimension", Integer, nullable=False),
        Column("fingerprint", Text, nullable=False),
        Column("create_time", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
        comment="Which model made the vectors of a column",
    )


def _graph(metadata: MetaData) -> None:
    """Tables of the monolith that this version keeps and does not use."""
    nodes = Table(
        "nodes",
        metadata,
        Column("node_id", UUID, primary_key=True),
        Column("node_type", Text, nullable=False),
        Column("label", Text),
        Column("properties", JSONB, server_default=text("'{}'::jsonb")),
        Column("created_at", TIMESTAMP(timezone=True), server_default=text("now()")),
    )
    Index("ix_nodes_node_type", nodes.c.node_type)
    edges = Table(
        "edges",
        metadata,
        Column("edge_id", UUID, primary_key=True, server_default=text("gen_random_uuid()")),
        Column("source_node_id", UUID, nullable=False),
        Column("target_node_id", UUID, nullable=False),
        Column("relation_type", Text, nullable=False),
        Column("properties", JSONB, server_default=text("'{}'::jsonb")),
        Column("created_at", TIMESTAMP(timezone=True), server_default=text("now()")),
    )
    Index("ix_edges_source_node_id", edges.c.source_node_id)
    Index("ix_edges_target_node_id", edges.c.target_node_id)
    Index("ix_edges_relation_type", edges.c.relation_type)
