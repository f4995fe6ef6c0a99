"""What a request must be like before anything is done about it."""

import json
import math
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import uuid6

from servicekit.errors import InvalidArgumentError
from store.events import EventDraft, EventFilter, GivenVector, Json, NewEvent, Vector
from store.use_cases.event_text import text_to_embed

MAX_CONTENT_BYTES = 2 * 1024 * 1024
MAX_METADATA_BYTES = 256 * 1024
MAX_FILTER_BYTES = 64 * 1024
#: Objects and arrays within each other. A level takes three of the 100 levels that a protobuf message may have, and an
#: event is carried deeper inside a search result than it came in: without a limit it could be stored and not be read.
MAX_LEVELS = 30

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")

#: Paths in messages are made of what callers sent; they travel in trailers, which are small.
_LONGEST_PATH = 200


def accept_draft(draft: EventDraft, now: datetime, oldest: datetime | None = None) -> NewEvent:
    """The event of a CreateEventRequest, with an id and a timestamp. Raises InvalidArgumentError.

    `oldest` is the first time of which events are kept, None without one.
    """
    if draft.request_id and not _REQUEST_ID.fullmatch(draft.request_id):
        raise InvalidArgumentError("request_id", "must be 1 to 128 printable ASCII characters")
    if oldest is not None and draft.timestamp is not None and draft.timestamp < oldest:
        raise InvalidArgumentError(
            "event.timestamp", f"is before {oldest:%Y-%m}, and older events are not kept (EVENTS_RETENTION_MONTHS)"
        )
    return NewEvent(
        id=accept_id("event.id", draft.id) if draft.id else uuid6.uuid7(),
        timestamp=draft.timestamp or now,
        content=accept_content(draft.content),
        metadata=accept_metadata(draft.metadata),
        request_id=draft.request_id or None,
    )


def accept_content(content: Json | None) -> Json:
    """The content itself. Raises InvalidArgumentError."""
    if content is None:
        raise InvalidArgumentError("event.content", "is required")
    if not content:
        raise InvalidArgumentError("event.content", "must not be empty")
    require_plain_json("event.content", content, MAX_CONTENT_BYTES)
    return content


def accept_metadata(metadata: Json) -> Json:
    """The metadata itself. Raises InvalidArgumentError."""
    require_plain_json("event.metadata", metadata, MAX_METADATA_BYTES)
    return metadata


def accept_given_vector(draft: EventDraft) -> GivenVector | None:
    """The vector that came with an event, when there is one. How long it must be is not known here.

    Raises InvalidArgumentError.
    """
    if draft.vector is None:
        if draft.vector_fingerprint:
            raise InvalidArgumentError("vector_fingerprint", "must not be given without a vector")
        return None
    if not draft.vector_fingerprint:
        raise InvalidArgumentError("vector_fingerprint", "is required with a vector")
    values = accept_vector("vector", draft.vector, len(draft.vector))
    if text_to_embed(draft.content or {}) is None:
        raise InvalidArgumentError("vector", "is given, and the event has no text that it could be the vector of")
    return GivenVector(values, draft.vector_fingerprint)


def accept_id(field: str, value: str) -> UUID:
    """A UUID in its usual form, upper or lower case. Raises InvalidArgumentError."""
    if not value:
        raise InvalidArgumentError(field, "is required")
    if not _UUID.fullmatch(value):
        raise InvalidArgumentError(field, "must be a UUID such as 0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4a11")
    return UUID(value)


def accept_vector(field: str, vector: Vector, dimension: int) -> Vector:
    """The vector with length 1: the database computes in float32, where squares of large numbers are infinite.

    Raises InvalidArgumentError.
    """
    if len(vector) != dimension:
        raise InvalidArgumentError(field, f"must have {dimension} values, and has {len(vector)}")
    if not np.isfinite(vector).all():
        raise InvalidArgumentError(field, "must consist of finite numbers")
    wide = vector.astype(np.float64)
    norm = np.linalg.norm(wide)
    if norm == 0:
        raise InvalidArgumentError(field, "must not be zero")
    return (wide / norm).astype(np.float32)


def accept_filter(matching: EventFilter) -> EventFilter:
    """The filter itself. Raises InvalidArgumentError."""
    require_plain_json("metadata_filter", matching.metadata, MAX_FILTER_BYTES)
    if matching.start_time and matching.end_time and matching.start_time >= matching.end_time:
        raise InvalidArgumentError("end_time", "must be after start_time")
    return matching


def accept_page_size(value: int, *, default: int, most: int) -> int:
    """The size of a page: `default` for 0, no more than `most`. Raises InvalidArgumentError for negative ones."""
    if value < 0:
        raise InvalidArgumentError("page_size", "must not be negative")
    return min(value or default, most)


def require_plain_text(field: str, value: str) -> None:
    """Raise InvalidArgumentError for text that PostgreSQL cannot keep."""
    if "\x00" in value:
        raise InvalidArgumentError(_cut(field), "must not contain the character U+0000")


def require_plain_json(field: str, value: Json, most_bytes: int) -> None:
    """Raise InvalidArgumentError, with the path, unless the object can be stored and read back as it is."""
    for path, leaf in _walk(field, value):
        if isinstance(leaf, str):
            require_plain_text(path, leaf)
        elif isinstance(leaf, float) and not math.isfinite(leaf):
            raise InvalidArgumentError(_cut(path), "must be a finite number")
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > most_bytes:
        raise InvalidArgumentError(field, f"must be at most {most_bytes} bytes as JSON, and has {size}")


def _walk(path: str, value: Any, level: int = 1) -> Iterator[tuple[str, Any]]:
    """Every scalar in a JSON value with its path, and every key as if it were one.

    Raises InvalidArgumentError for a value that is nested too deep.
    """
    if level > MAX_LEVELS and isinstance(value, dict | list):
        raise InvalidArgumentError(_cut(path), f"is nested more than {MAX_LEVELS} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            yield path, key
            yield from _walk(f"{path}.{key[:64]}", item, level + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(f"{path}[{index}]", item, level + 1)
    else:
        yield path, value


def _cut(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"
