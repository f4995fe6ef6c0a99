"""Code: repositories, files, chunks with two vectors each. Graph: whose nodes and edges are, and how sure.

Revision: 0005
Follows: 0004

Only adds. Columns of `nodes` and `edges` come without rewriting a row, but nobody reads or writes the two from then to
the end of the transaction: adding a column locks out all others, and after it the check reads `edges` once and the new
indexes are built.
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util.exc import CommandError
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = sa.TIMESTAMP(timezone=True)
_NOW = sa.text("now()")
_TABLES = ("code_repositories", "code_files", "code_chunks", "code_terms")

# `HTTPServer.parse_header` has the words http, server, parse, header. Of the label, not of a column of its own, so that
# rows from before Trimem need not be rewritten; of its first characters, and of those of each word, which fit into an
# index. It names its functions and its collation in full: an index on it is the same with any search_path, and with any
# collation of the database.
_LABEL_WORDS = r"""
    CREATE FUNCTION label_words(label text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN ARRAY(
        SELECT pg_catalog.left(word, 100)
        FROM pg_catalog.unnest(pg_catalog.string_to_array(
            pg_catalog.btrim(pg_catalog.lower(pg_catalog.regexp_replace(
                pg_catalog.regexp_replace(
                    pg_catalog.regexp_replace(
                        pg_catalog.left(label, 1000) COLLATE pg_catalog.pg_c_utf8,
                        '([[:lower:][:digit:]])([[:upper:]])', '\1 \2', 'g'
                    ),
                    '([[:upper:]])([[:upper:]][[:lower:]])', '\1 \2', 'g'
                ),
                '[^[:alnum:]]+', ' ', 'g'
            ))), ' '
        )) AS word
    )
"""

# What lists go by: a label from before Trimem may be missing, or too long for an index.
_LABEL_PLACE = """
    CREATE FUNCTION label_place(label text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.left(coalesce(label, ''), 250)
"""


def upgrade() -> None:
    _refuse_others()
    _change_graph()
    _create_repositories()
    _create_files()
    _create_chunks()
    _create_terms()


def downgrade() -> None:
    """Back to 0004. Lost: code, which can be indexed again, and its graph; namespaces and confidence of the rest."""
    op.execute("DELETE FROM edges WHERE namespace LIKE 'code/%'")
    op.execute("DELETE FROM nodes WHERE namespace LIKE 'code/%'")
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.execute("DELETE FROM embedding_spaces WHERE column_name LIKE 'code_chunks.%'")
    op.drop_index("ix_edges_namespace", "edges")
    op.drop_constraint(op.f("edges_confidence_check"), "edges")
    for column in ("updated_at", "confidence", "namespace"):
        op.drop_column("edges", column)
    for index in ("ix_nodes_label_words", "ix_nodes_namespace_label"):
        op.drop_index(index, "nodes")
    for column in ("updated_at", "namespace"):
        op.drop_column("nodes", column)
    op.execute("DROP FUNCTION label_words(text)")
    op.execute("DROP FUNCTION label_place(text)")


def _refuse_others() -> None:
    if context.is_offline_mode():
        return
    encoding = op.get_bind().execute(sa.text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        raise CommandError(
            f"the encoding of the database is {encoding}, and words of labels need UTF8: dump it, and restore it into "
            "a database with ENCODING 'UTF8'. This revision changed nothing"
        )
    found = op.get_bind().execute(
        sa.text("SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass(name) IS NOT NULL"),
        {"names": list(_TABLES)},
    )
    if names := ", ".join(found.scalars()):
        raise CommandError(
            f"there are tables already that Trimem wants to make: {names}. Code can be indexed again: rename or drop "
            "them, and migrate again. This revision changed nothing"
        )


def _change_graph() -> None:
    op.execute(_LABEL_WORDS)
    op.execute(_LABEL_PLACE)
    for table in ("nodes", "edges"):
        op.add_column(table, sa.Column("namespace", sa.Text, nullable=False, server_default=sa.text("''")))
        op.add_column(table, sa.Column("updated_at", _TIME))
    op.add_column("edges", sa.Column("confidence", sa.Text))
    op.create_check_constraint(
        op.f("edges_confidence_check"), "edges", "confidence IN ('UNRESOLVED', 'INFERRED', 'RESOLVED')"
    )
    op.create_index("ix_nodes_namespace_label", "nodes", ["namespace", sa.text("label_place(label)"), "node_id"])
    op.create_index("ix_nodes_label_words", "nodes", [sa.text("label_words(label)")], postgresql_using="gin")
    op.create_index("ix_edges_namespace", "edges", ["namespace"])


def _create_repositories() -> None:
    op.create_table(
        "code_repositories",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("chunks", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("length", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("changed", sa.Boolean, nullable=False, server_default=sa.text("true")),
        sa.Column("create_time", _TIME, nullable=False, server_default=_NOW),
        sa.Column("commit_time", _TIME),
        comment="What was indexed",
    )


def _create_files() -> None:
    op.create_table(
        "code_files",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("path", sa.Text(collation="C"), nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("line_count", sa.Integer, nullable=False),
        sa.Column("chunk_count", sa.Integer, nullable=False),
        sa.Column("cut_method", sa.Text, nullable=False),
        sa.Column("cut_version", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("outline", JSONB, nullable=False),
        sa.Column("update_time", _TIME, nullable=False, server_default=_NOW),
        sa.PrimaryKeyConstraint("repository", "path"),
        sa.ForeignKeyConstraint(["repository"], ["code_repositories.repository"], ondelete="CASCADE"),
        sa.CheckConstraint(
            "cut_method IN ('SYNTAX', 'SYNTAX_WITH_ERRORS', 'LINES')", name=op.f("code_files_cut_method_check")
        ),
    )


def _create_chunks() -> None:
    vector = VECTOR(context.config.attributes["plan"].dimension)
    texts = ("name", "qualified_name", "parent", "signature", "docstring")
    places = (("start_line", sa.Integer), ("end_line", sa.Integer), ("start_byte", sa.BigInteger))
    op.create_table(
        "code_chunks",
        sa.Column("id", UUID, primary_key=True),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("file_path", sa.Text(collation="C"), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        *(sa.Column(name, kind, nullable=False) for name, kind in places),
        sa.Column("end_byte", sa.BigInteger, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("names", ARRAY(sa.Text), nullable=False),
        sa.Column("terms", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("term_counts", ARRAY(sa.Integer), nullable=False),
        sa.Column("term_total", sa.Integer, nullable=False),
        sa.Column("input_hash", sa.LargeBinary, nullable=False),
        sa.Column("embedding_text", vector),
        sa.Column("embedding_code", vector),
        sa.Column("embedding_error", sa.Text),
        sa.Column("update_time", _TIME, nullable=False, server_default=_NOW),
        sa.ForeignKeyConstraint(
            ["repository", "file_path"], ["code_files.repository", "code_files.path"], ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "kind IN ('MODULE', 'CLASS', 'FUNCTION', 'METHOD', 'LINES')", name=op.f("code_chunks_kind_check")
        ),
    )
    for column in ("embedding_text", "embedding_code"):
        op.create_index(
            f"ix_code_chunks_{column}",
            "code_chunks",
            [column],
            postgresql_using="hnsw",
            postgresql_ops={column: "vector_cosine_ops"},
            postgresql_with={"m": 16, "ef_construction": 64},
        )
    op.create_index("ix_code_chunks_file", "code_chunks", ["repository", "file_path"])
    op.create_index("ix_code_chunks_terms", "code_chunks", ["terms"], postgresql_using="gin")
    op.create_index("ix_code_chunks_names", "code_chunks", ["names"], postgresql_using="gin")
    op.create_index("ix_code_chunks_input_hash", "code_chunks", ["repository", "input_hash"])


def _create_terms() -> None:
    op.create_table(
        "code_terms",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("chunks", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", "term"),
        sa.ForeignKeyConstraint(["repository"], ["code_repositories.repository"], ondelete="CASCADE"),
        comment="How many chunks of a repository have a word, as of its last commit",
    )
