"""From rows to dataclasses, and filters to parameters."""

from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

from store.events import EmbeddingSpace, EmbeddingState, Event, EventFilter, Json

Row: TypeAlias = asyncpg.Record

#: What `event_of` reads. Rows of the monolith have no times of their own.
EVENT_COLUMNS = """
    id, timestamp, content, metadata, embedding_state, embedding_error, embedding_attempts,
    coalesce(create_time, timestamp) AS create_time, coalesce(update_time, timestamp) AS update_time
"""


def similarity(distance: str) -> str:
    """SQL for the cosine, without the rounding of float32; NULL for what has no direction, or no vector."""
    return f"CASE WHEN {distance} <> 'NaN' THEN least(1, greatest(-1, 1 - {distance})) END"


def unix_time(timestamp: str) -> str:
    """SQL for a time as a number, which is read much faster than a timestamp."""
    return f"extract(epoch FROM {timestamp})::float8 AS time"


def conditions(matching: EventFilter) -> tuple[Json | None, datetime | None, datetime | None]:
    return matching.metadata or None, matching.start_time, matching.end_time


def space_of(row: Row | None) -> EmbeddingSpace | None:
    if row is None or row["fingerprint"] is None:
        return None
    return EmbeddingSpace(row["model_name"], row["revision"], row["dimension"], row["fingerprint"])


def has_unrecorded_vectors(row: Row | None) -> bool:
    return row is not None and bool(row["has_unrecorded_vectors"])


def event_of(row: Row) -> Event:
    return Event(
        id=row["id"],
        timestamp=row["timestamp"],
        content=object_of(row["content"]),
        metadata=object_of(row["metadata"]),
        embedding_state=EmbeddingState(row["embedding_state"]),
        create_time=row["create_time"],
        update_time=row["update_time"],
        embedding_error=row["embedding_error"],
        embedding_attempts=row["embedding_attempts"],
    )


def object_of(value: Any) -> Json:
    """Adopted rows may hold any JSON; answers hold objects."""
    return value if isinstance(value, dict) else {"value": value}
