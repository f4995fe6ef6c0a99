"""API keys: how one is made, what is kept of it, and how a token is compared with that."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from gateway.auth.scopes import Scope

#: `trimem_<id>_<secret>`. Hexadecimal, so that a double click selects all of it and nobody has to escape anything.
_TOKEN = re.compile(r"trimem_(?P<id>[0-9a-f]{12})_(?P<secret>[0-9a-f]{64})", re.ASCII)
_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)
#: Names are labels of metrics and stand in log lines.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)

NAME_RULE = "1 to 63 letters, digits, dots, dashes and underscores, and not like the id of a key"


class KeyState(StrEnum):
    """Whether a key can be used."""

    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key: enough to recognise its secret, not enough to know it."""

    id: str
    name: str
    scopes: frozenset[Scope]
    salt: bytes = field(repr=False)
    #: SHA-256 of salt and secret.
    digest: bytes = field(repr=False)
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def matches(self, secret: str) -> bool:
        """Whether this is the key's secret. Takes as long for any secret."""
        return hmac.compare_digest(self.digest, _digest(self.salt, secret))

    def state(self, now: datetime) -> KeyState:
        """Whether it can be used at that time."""
        if self.revoked is not None:
            return KeyState.REVOKED
        if self.expires is not None and self.expires <= now:
            return KeyState.EXPIRED
        return KeyState.LIVE

    def revoke(self, now: datetime) -> "ApiKey":
        """The same key, not to be used any more."""
        return replace(self, revoked=now)


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """The two parts of a token."""

    id: str
    secret: str = field(repr=False)


def create_key(
    name: str, scopes: frozenset[Scope], *, now: datetime, expires: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key and its token, which nobody can find out from the key."""
    identity, secret, salt = secrets.token_hex(6), secrets.token_hex(32), secrets.token_bytes(16)
    key = ApiKey(identity, name, scopes, salt, _digest(salt, secret), now, expires)
    return key, f"trimem_{identity}_{secret}"


def parse_token(token: str) -> ParsedToken | None:
    """The parts of a token, or None when it is none of ours."""
    found = _TOKEN.fullmatch(token)
    return ParsedToken(found["id"], found["secret"]) if found else None


def nobodys_key(now: datetime) -> ApiKey:
    """A key whose secret nobody has: compared where no key is, so that this takes as long."""
    return create_key("nobody", frozenset(), now=now)[0]


def is_id(text: str) -> bool:
    """Whether a text looks like the id of a key."""
    return _ID.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether a text can name a key: see NAME_RULE."""
    return _NAME.fullmatch(text) is not None and not is_id(text)


def _digest(salt: bytes, secret: str) -> bytes:
    """A fast hash: a secret of 256 random bits cannot be found by trying, however fast that goes."""
    return hashlib.sha256(salt + secret.encode("ascii")).digest()
