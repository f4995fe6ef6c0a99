"""Page tokens of nodes: where a search or a list stopped, sealed to what it was asked for."""

import hashlib
import json
from uuid import UUID

from servicekit.errors import InvalidArgumentError
from store.repositories.graph import ORDERED_CHARACTERS, NodeFilter, NodePosition
from store.use_cases.page_tokens import as_bytes, as_text, not_ours

#: Ours have less: labels and namespaces in them are short.
_LONGEST = 4096
_NUMBERS = range(2**31)


def encode(position: NodePosition, matching: NodeFilter) -> str:
    """A token that continues `matching` after `position`."""
    token = [_seal(matching), position.rank, position.length, position.namespace, position.label, position.id.hex]
    return as_text(json.dumps(token, ensure_ascii=False, separators=(",", ":")).encode())


def decode(token: str, matching: NodeFilter) -> NodePosition:
    """The position in a token. Raises InvalidArgumentError for one that is not ours or of other fields."""
    try:
        seal, rank, length, namespace, label, identity = json.loads(as_bytes(token, _LONGEST))
        position = NodePosition(rank, length, namespace, label, UUID(hex=identity))
        sound = _is_number(rank) and _is_number(length) and _is_text(namespace) and _is_text(label)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise not_ours() from None
    if not sound or len(label) > ORDERED_CHARACTERS:
        raise not_ours()
    if seal != _seal(matching):
        raise InvalidArgumentError("page_token", "belongs to a call with other fields")
    return position


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in _NUMBERS


def _is_text(value: object) -> bool:
    """Whether the database can take it: JSON can write halves of characters."""
    return isinstance(value, str) and "\x00" not in value and value.encode(errors="replace").decode() == value


def _seal(matching: NodeFilter) -> str:
    described = json.dumps(
        [matching.query, matching.namespace, matching.types, matching.properties], sort_keys=True, ensure_ascii=True
    )
    return hashlib.sha256(described.encode()).hexdigest()[:32]
