"""The one description of the schema. Alembic compares the database with it; the data path only shares its names."""

from sqlalchemy import (
    TIMESTAMP,
    CheckConstraint,
    Column,
    Computed,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from store.events import EmbeddingState

__all__ = ["HNSW", "NAMING", "build_metadata"]
