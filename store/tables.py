"""The one description of the schema. Alembic compares the database with it; the data path shares its names."""

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from store.code_tables import add_code_tables
from store.events import EmbeddingState, ReembedPhase
from store.graph import EdgeConfidence

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
    _keys_and_spaces(metadata)
    _lexical(metadata)
    _graph(metadata)
    add_code_tables(metadata, dimension)
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
        # NULL in rows from before Trimem, which have none: readers take the timestamp.
        Column("create_time", TIMESTAMP(timezone=True), server_default=text("now()")),
        Column("update_time", TIMESTAMP(timezone=True), server_default=text("now()")),
        # The words of the text, hashed, and how often each comes; NULL until the store has looked, empty without words.
        Column("terms", ARRAY(BigInteger)),
        Column("term_counts", ARRAY(Integer)),
        Column("term_total", Integer),
        Column("embedding_attempts", Integer, nullable=False, server_default=text("0")),
        Column("embedding_error", Text),
        # When a PENDING event may be tried again; NULL is at once.
        Column("embedding_retry_time", TIMESTAMP(timezone=True)),
        # The timestamp is part of the key because partitioning by it asks for that; event_keys keeps ids unique.
        PrimaryKeyConstraint("id", "timestamp"),
        CheckConstraint(f"embedding_state IN ({states})", name="embedding_state"),
        # The partitions, one a month, are no part of this description: the store makes and drops them as time goes by.
        postgresql_partition_by='RANGE ("timestamp")',
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
    Index(
        "ix_events_failed",
        events.c.timestamp,
        events.c.id,
        postgresql_where=text("embedding_state = 'FAILED'"),
    )
    Index("ix_events_terms", events.c.terms, postgresql_using="gin")
    Index(
        "ix_events_without_terms",
        events.c.timestamp,
        events.c.id,
        postgresql_where=text("terms IS NULL"),
    )


def _keys_and_spaces(metadata: MetaData) -> None:
    keys = Table(
        "event_keys",
        metadata,
        Column("event_id", UUID, primary_key=True),
        Column("timestamp", TIMESTAMP(timezone=True), nullable=False),
        Column("request_id", Text),
        # When the event was deleted: its keys stay taken for a while.
        Column("delete_time", TIMESTAMP(timezone=True)),
        UniqueConstraint("request_id"),
        comment="One row an event: ids are unique over all partitions, and a request_id writes once",
    )
    Index(
        "ix_event_keys_delete_time",
        keys.c.delete_time,
        postgresql_where=text("delete_time IS NOT NULL"),
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
    phases = ", ".join(f"'{phase}'" for phase in ReembedPhase)
    Table(
        "reembed_job",
        metadata,
        Column("one_row", Boolean, primary_key=True, server_default=text("true")),
        Column("phase", Text, nullable=False),
        # The last event of the first pass over all of them.
        Column("position_timestamp", TIMESTAMP(timezone=True)),
        Column("position_id", UUID),
        Column("recall", Double),
        Column("create_time", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
        Column("update_time", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
        CheckConstraint("one_row", name="one_row"),
        CheckConstraint(f"phase IN ({phases})", name="phase"),
        comment="How far the change to another model got; no row when none is under way",
    )


def _lexical(metadata: MetaData) -> None:
    """What BM25 needs to know of all events, and switches. Triggers on `events` write the changes (revision 0003)."""
    Table(
        "lexical_terms",
        metadata,
        Column("term", BigInteger, primary_key=True, autoincrement=False),
        Column("documents", BigInteger, nullable=False),
        comment="How many events have a word",
    )
    Table(
        "lexical_totals",
        metadata,
        Column("one_row", Boolean, primary_key=True, server_default=text("true")),
        Column("documents", BigInteger, nullable=False),
        Column("length", BigInteger, nullable=False),
        CheckConstraint("one_row", name="one_row"),
        comment="How many events have words, and how many words they have in all",
    )
    Table(
        "lexical_changes",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("terms", ARRAY(BigInteger), nullable=False),
        Column("deltas", ARRAY(Integer), nullable=False),
        Column("documents", BigInteger, nullable=False),
        Column("length", BigInteger, nullable=False),
        comment="What writes add to lexical_terms and lexical_totals: a row each, so that writers do not wait",
    )
    Table(
        "switches",
        metadata,
        Column("name", Text, primary_key=True),
        Column("value", JSONB, nullable=False),
        Column("update_time", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
        comment="What operators set for all stores of this database",
    )


def _graph(metadata: MetaData) -> None:
    """What is connected with what: tables of the monolith, which had all but the last columns."""
    nodes = Table(
        "nodes",
        metadata,
        Column("node_id", UUID, primary_key=True),
        Column("node_type", Text, nullable=False),
        Column("label", Text),
        Column("properties", JSONB, server_default=text("'{}'::jsonb")),
        Column("created_at", TIMESTAMP(timezone=True), server_default=text("now()")),
        Column("namespace", Text, nullable=False, server_default=text("''")),
        # NULL in rows from before Trimem: readers take created_at.
        Column("updated_at", TIMESTAMP(timezone=True)),
    )
    Index("ix_nodes_node_type", nodes.c.node_type)
    Index("ix_nodes_namespace_label", nodes.c.namespace, func.label_place(nodes.c.label), nodes.c.node_id)
    Index("ix_nodes_label_words", func.label_words(nodes.c.label), postgresql_using="gin")
    confidences = ", ".join(f"'{confidence}'" for confidence in EdgeConfidence)
    edges = Table(
        "edges",
        metadata,
        Column("edge_id", UUID, primary_key=True, server_default=text("gen_random_uuid()")),
        Column("source_node_id", UUID, nullable=False),
        Column("target_node_id", UUID, nullable=False),
        Column("relation_type", Text, nullable=False),
        Column("properties", JSONB, server_default=text("'{}'::jsonb")),
        Column("created_at", TIMESTAMP(timezone=True), server_default=text("now()")),
        Column("namespace", Text, nullable=False, server_default=text("''")),
        Column("confidence", Text),
        # NULL in rows from before Trimem: readers take created_at.
        Column("updated_at", TIMESTAMP(timezone=True)),
        CheckConstraint(f"confidence IN ({confidences})", name="confidence"),
    )
    Index("ix_edges_source_node_id", edges.c.source_node_id)
    Index("ix_edges_target_node_id", edges.c.target_node_id)
    Index("ix_edges_relation_type", edges.c.relation_type)
    Index("ix_edges_namespace", edges.c.namespace)
