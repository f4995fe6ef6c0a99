"""Files of API keys for tests."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.auth.key_file import changing
from gateway.auth.keys import create_key
from gateway.auth.scopes import Scope


def add_key(path: Path, name: str, *scopes: Scope, **values: Any) -> str:
    """Put a new key into a file, and return its token."""
    key, token = create_key(name, frozenset(scopes), now=datetime.now(UTC), **values)
    with changing(path) as change:
        change.keys = (*change.keys, key)
    return token


def revoke_key(path: Path, name: str) -> None:
    """Revoke the keys of this name."""
    now = datetime.now(UTC)
    with changing(path) as change:
        change.keys = tuple(key.revoke(now) if key.name == name else key for key in change.keys)


def bearer(token: str) -> dict[str, str]:
    """The headers of an HTTP request with this token."""
    return {"Authorization": f"Bearer {token}"}


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a gRPC call with this token."""
    return (("authorization", f"Bearer {token}"),)
