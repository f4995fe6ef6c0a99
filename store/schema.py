"""What a database must be before the store works with it."""

import re
from dataclasses import dataclass

from sqlalchemy import Connection, text

from store.errors import SchemaError

#: The first with iterative index scans, which filtered searches need.
LEAST_PGVECTOR = (0, 8, 0)
#: Earlier 0.8 releases can corrupt an HNSW index.
SAFE_PGVECTOR = (0, 8, 6)

#: Length of events.embedding: no row when there is no such column, -1 when it has no fixed length.
DIMENSION_QUERY = """
    SELECT a.atttypmod FROM pg_attribute a
    WHERE a.attrelid = to_regclass('events') AND a.attname = 'embedding' AND NOT a.attisdropped
"""


@dataclass(frozen=True, slots=True)
class SchemaFacts:
    """What a database says about itself; None for what it does not have."""

    revision: str | None
    pgvector: str | None
    #: Of events.embedding.
    dimension: int | None
    #: Of the model that made the stored vectors.
    recorded_dimension: int | None = None


def require_schema(facts: SchemaFacts, *, head: str, dimension: int) -> None:
    """Raise SchemaError, saying what to run or set, unless a store of this version can work with the database.

    A database that knows the model of its vectors decides about their length: after a change of model it may be another
    one than EMBEDDING_DIMENSION, and a store that restarts then must come up. See `dimension_warning`.
    """
    if facts.revision != head:
        found = f"at revision {facts.revision}" if facts.revision else "not set up"
        raise SchemaError(
            f"the database is {found}, this version of the store needs revision {head}: run `python -m store migrate`"
        )
    version = _version(facts.pgvector)
    if version < LEAST_PGVECTOR:
        raise SchemaError(
            f"the database has pgvector {facts.pgvector or 'not'} installed, the store needs {_text(SAFE_PGVECTOR)} or "
            "newer: install it on the server and run `ALTER EXTENSION vector UPDATE`"
        )
    if facts.dimension is None or facts.dimension != facts.recorded_dimension:
        refuse_other_dimension(facts.dimension, dimension)


def dimension_warning(facts: SchemaFacts, dimension: int) -> str | None:
    """What to set when EMBEDDING_DIMENSION is not, or not any more, the length of the stored vectors."""
    if facts.dimension is None or facts.dimension == dimension:
        return None
    return (
        f"the model of the stored vectors has {facts.dimension} dimensions and EMBEDDING_DIMENSION is {dimension}: the "
        f"database decides. Set EMBEDDING_DIMENSION={facts.dimension}, which migrations go by"
    )


def pgvector_warning(facts: SchemaFacts) -> str | None:
    """What is wrong with a version of pgvector that works, but not safely."""
    if _version(facts.pgvector) >= SAFE_PGVECTOR:
        return None
    return (
        f"pgvector {facts.pgvector} can corrupt HNSW indexes: install {_text(SAFE_PGVECTOR)} or newer on the server, "
        "run `ALTER EXTENSION vector UPDATE`, and reindex"
    )


def refuse_other_dimension(found: int | None, expected: int) -> None:
    """Raise SchemaError when the column exists and does not hold vectors of the expected length."""
    if found is None or found == expected:
        return
    if found == -1:
        raise SchemaError(
            "events.embedding has no fixed dimension: run "
            f"`ALTER TABLE events ALTER COLUMN embedding TYPE vector({expected})` first"
        )
    raise SchemaError(
        f"the database keeps vectors of {found} dimensions and EMBEDDING_DIMENSION is {expected}: set "
        f"EMBEDDING_DIMENSION={found} and run an embedder whose TEXT model has {found} dimensions"
    )


def require_dimension(connection: Connection, expected: int) -> None:
    """`refuse_other_dimension` for a migration's connection."""
    refuse_other_dimension(connection.execute(text(DIMENSION_QUERY)).scalar(), expected)


def _version(value: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", value or ""))[:3]


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
