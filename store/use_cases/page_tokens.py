"""Page tokens: where a list stopped, sealed to the filter that it was made with."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from uuid import UUID

from servicekit.errors import InvalidArgumentError
from store.events import EventFilter, Position
from store.far_times import is_time, microseconds_of, time_at

#: Ours have about 130 characters. A longer one is not ours, and not worth decoding.
_LONGEST = 512


def encode(position: Position, matching: EventFilter) -> str:
    """A token that continues a list of `matching` after `position`."""
    token = {
        "t": microseconds_of(position.timestamp),
        "i": position.id.hex,
        "f": _seal(matching),
    }
    return as_text(json.dumps(token, separators=(",", ":")).encode())


def decode(token: str, matching: EventFilter) -> Position:
    """The position in a token. Raises InvalidArgumentError for one that is not ours or of another filter."""
    seal, position = _open(token)
    if seal != _seal(matching):
        raise InvalidArgumentError("page_token", "belongs to a call with other filters")
    return position


def _open(token: str) -> tuple[str, Position]:
    try:
        match json.loads(as_bytes(token, _LONGEST)):
            case {"t": int(micros), "i": str(identity), "f": str(seal)} if not isinstance(micros, bool) and is_time(
                micros
            ):
                return seal, Position(time_at(micros), UUID(hex=identity))
    except (ValueError, RecursionError):
        pass
    raise not_ours()


def as_text(raw: bytes) -> str:
    """A token of these bytes, as it may stand in a URL."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def as_bytes(token: str, longest: int) -> bytes:
    """What `as_text` was given. Raises ValueError for what it did not make, or of more than `longest` characters."""
    if len(token) > longest:
        raise ValueError("too long")
    return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)


def not_ours() -> InvalidArgumentError:
    """What is wrong with a token that no page came with."""
    return InvalidArgumentError("page_token", "is not a token that this service returned")


def _seal(matching: EventFilter) -> str:
    described = json.dumps(
        [matching.metadata, _text(matching.start_time), _text(matching.end_time), matching.embedding_state],
        sort_keys=True,
        ensure_ascii=True,
    )
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
