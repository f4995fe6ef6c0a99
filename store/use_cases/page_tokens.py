"""Page tokens: where a list stopped, sealed to the filter that it was made with."""

import base64
import binascii
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
    return base64.urlsafe_b64encode(json.dumps(token, separators=(",", ":")).encode()).rstrip(b"=").decode()


def decode(token: str, matching: EventFilter) -> Position:
    """The position in a token. Raises InvalidArgumentError for one that is not ours or of another filter."""
    seal, position = _open(token)
    if seal != _seal(matching):
        raise InvalidArgumentError("page_token", "belongs to a call with other filters")
    return position


def _open(token: str) -> tuple[str, Position]:
    wrong = InvalidArgumentError("page_token", "is not a token that this service returned")
    if len(token) > _LONGEST or not token.isascii():
        raise wrong
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        match json.loads(raw):
            case {"t": int(micros), "i": str(identity), "f": str(seal)} if not isinstance(micros, bool) and is_time(
                micros
            ):
                return seal, Position(time_at(micros), UUID(hex=identity))
    except (binascii.Error, ValueError, RecursionError):
        pass
    raise wrong


def _seal(matching: EventFilter) -> str:
    described = json.dumps(
        [matching.metadata, _text(matching.start_time), _text(matching.end_time), matching.embedding_state],
        sort_keys=True,
        ensure_ascii=True,
    )
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
