"""The tables of code: a part of the description of the schema in `store.tables`."""

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from store.code.source import CodeKind, CutMethod

CODE_CHUNKS = "code_chunks"

_TIME = TIMESTAMP(timezone=True)
_NOW = text("now()")


def add_code_tables(metadata: MetaData, dimension: int) -> None:
    """Repositories, their files, the chunks of these, and how many chunks have a word."""
    Table(
        "code_repositories",
        metadata,
        Column("repository", Text, primary_key=True),
        # As of the last commit, for BM25: how many chunks there are, and how many words they have in all.
        Column("chunks", BigInteger, nullable=False, server_default=text("0")),
        Column("length", BigInteger, nullable=False, server_default=text("0")),
        # Whether files changed after the last commit.
        Column("changed", Boolean, nullable=False, server_default=text("true")),
        Column("create_time", _TIME, nullable=False, server_default=_NOW),
        Column("commit_time", _TIME),
        comment="What was indexed",
    )
    _files(metadata)
    _chunks(metadata, dimension)
    Table(
        "code_terms",
        metadata,
        Column("repository", Text, nullable=False),
        Column("term", BigInteger, nullable=False),
        Column("chunks", BigInteger, nullable=False),
        PrimaryKeyConstraint("repository", "term"),
        ForeignKeyConstraint(["repository"], ["code_repositories.repository"], ondelete="CASCADE"),
        comment="How many chunks of a repository have a word, as of its last commit",
    )


def _files(metadata: MetaData) -> None:
    methods = ", ".join(f"'{method}'" for method in CutMethod)
    Table(
        "code_files",
        metadata,
        Column("repository", Text, nullable=False),
        # In the order of bytes, so that pages and prefixes can use the key.
        Column("path", Text(collation="C"), nullable=False),
        Column("content_hash", LargeBinary, nullable=False),
        Column("language", Text, nullable=False),
        Column("size_bytes", BigInteger, nullable=False),
        Column("line_count", Integer, nullable=False),
        Column("chunk_count", Integer, nullable=False),
        Column("cut_method", Text, nullable=False),
        # Of the rules that it was cut by: files of others are cut again.
        Column("cut_version", Integer, nullable=False),
        Column("note", Text, nullable=False, server_default=text("''")),
        # What the file defines, imports and refers to: what the graph is made of.
        Column("outline", JSONB, nullable=False),
        Column("update_time", _TIME, nullable=False, server_default=_NOW),
        PrimaryKeyConstraint("repository", "path"),
        ForeignKeyConstraint(["repository"], ["code_repositories.repository"], ondelete="CASCADE"),
        CheckConstraint(f"cut_method IN ({methods})", name="cut_method"),
    )


def _chunks(metadata: MetaData, dimension: int) -> None:
    kinds = ", ".join(f"'{kind}'" for kind in CodeKind)
    chunks = Table(
        CODE_CHUNKS,
        metadata,
        Column("id", UUID, primary_key=True),
        Column("repository", Text, nullable=False),
        Column("file_path", Text(collation="C"), nullable=False),
        Column("ordinal", Integer, nullable=False),
        Column("language", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("qualified_name", Text, nullable=False),
        Column("parent", Text, nullable=False),
        Column("signature", Text, nullable=False),
        Column("docstring", Text, nullable=False),
        Column("start_line", Integer, nullable=False),
        Column("end_line", Integer, nullable=False),
        Column("start_byte", BigInteger, nullable=False),
        Column("end_byte", BigInteger, nullable=False),
        Column("content", Text, nullable=False),
        # imports, parameters, decorators, symbols, kinds: lists of strings; complexity: a number. What was cut before
        # version 2 of the rules has no kinds.
        Column("metadata", JSONB, nullable=False),
        # What its definitions are called: `=parseHTTPHeader`, `parsehttpheader`, `httpserverparsehttpheader`.
        Column("names", ARRAY(Text), nullable=False),
        # The words of identifiers and comments, hashed, and how often each comes.
        Column("terms", ARRAY(BigInteger), nullable=False),
        Column("term_counts", ARRAY(Integer), nullable=False),
        Column("term_total", Integer, nullable=False),
        # SHA-256 of what is embedded: a chunk with the same has the same vectors.
        Column("input_hash", LargeBinary, nullable=False),
        Column("embedding_text", VECTOR(dimension)),
        Column("embedding_code", VECTOR(dimension)),
        Column("embedding_error", Text),
        Column("update_time", _TIME, nullable=False, server_default=_NOW),
        ForeignKeyConstraint(
            ["repository", "file_path"], ["code_files.repository", "code_files.path"], ondelete="CASCADE"
        ),
        CheckConstraint(f"kind IN ({kinds})", name="kind"),
    )
    for column in (chunks.c.embedding_text, chunks.c.embedding_code):
        Index(
            f"ix_code_chunks_{column.name}",
            column,
            postgresql_using="hnsw",
            postgresql_ops={column.name: "vector_cosine_ops"},
            postgresql_with={"m": 16, "ef_construction": 64},
        )
    # Without the ordinal: a chunk that only moves down its file needs no new entries in any index.
    Index("ix_code_chunks_file", chunks.c.repository, chunks.c.file_path)
    Index("ix_code_chunks_terms", chunks.c.terms, postgresql_using="gin")
    Index("ix_code_chunks_names", chunks.c.names, postgresql_using="gin")
    Index("ix_code_chunks_input_hash", chunks.c.repository, chunks.c.input_hash)
