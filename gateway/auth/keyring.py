"""The keys in force: those of the file as it is now."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import structlog

from gateway.auth.key_file import KeyFileError, read_keys
from gateway.auth.keys import ApiKey, KeyState, nobodys_key, parse_token

#: How often the file is looked at, at most: what is revoked stops working within this time.
LOOK_SECONDS = 1.0

#: A file that was changed so recently may be changed again within one tick of its file system's clock.
_RECENT_NANOSECONDS = 2_000_000_000


class Flaw(StrEnum):
    """Why a token is not accepted. For logs and metrics only: callers are told the same for all of them."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - a name for a case
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Finding:
    """Whose token it is."""

    #: None when it is nobody's.
    key: ApiKey | None
    #: The id that the token names, when it names one.
    key_id: str = ""
    #: Why the key must not be used; None when it may.
    flaw: Flaw | None = None


class Keyring:
    """The keys of a file, which is read again when it changes.

    When it cannot be read then, or is broken, the keys that were read last stay in force: a file is replaced or
    written while we look. They go on expiring.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read the file. Raises KeyFileError: without any keys there is nothing to stay with."""
        self._path = path
        self._clock = clock
        self._now = now
        self._log = structlog.get_logger("keys")
        self._nobody = nobodys_key(now())
        self._seen = self._version()
        self._keys = {key.id: key for key in read_keys(path)}
        self._looked = clock()
        self._log.info("read", **self._summary())

    def find(self, token: str | None) -> Finding:
        """Whose token this is, and whether it may be used."""
        self._look()
        if token is None:
            return Finding(None, flaw=Flaw.MISSING)
        parsed = parse_token(token)
        if parsed is None:
            return Finding(None, flaw=Flaw.MALFORMED)
        key = self._keys.get(parsed.id)
        is_right = (key or self._nobody).matches(parsed.secret)  # for an unknown id too: it takes as long
        if key is None:
            return Finding(None, parsed.id, Flaw.UNKNOWN)
        if not is_right:
            return Finding(None, parsed.id, Flaw.WRONG_SECRET)
        return Finding(key, key.id, self._flaw(key))

    def find_again(self, key: ApiKey) -> Finding:
        """A key that was found before, as it is now, and whether it still may be used."""
        self._look()
        current = self._keys.get(key.id)
        return Finding(key, key.id, Flaw.UNKNOWN) if current is None else Finding(current, key.id, self._flaw(current))

    def _flaw(self, key: ApiKey) -> Flaw | None:
        match key.state(self._now()):
            case KeyState.REVOKED:
                return Flaw.REVOKED
            case KeyState.EXPIRED:
                return Flaw.EXPIRED
            case KeyState.LIVE:
                return None

    def _look(self) -> None:
        if self._clock() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._clock()
        version = self._version()
        if version == self._seen and not self._is_recent(version):
            return
        is_new, self._seen = version != self._seen, version  # seen before it is read: what changes meanwhile differs
        try:
            keys = {key.id: key for key in read_keys(self._path)}
        except KeyFileError as error:
            if is_new:
                self._log.error("cannot be read: the keys that were read before stay in force", problem=error.message)
            return
        if keys != self._keys:
            self._keys = keys
            self._log.info("read again", **self._summary())

    def _version(self) -> tuple[int, ...] | None:
        """Differs when the file was changed or replaced; None when there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

    def _is_recent(self, version: tuple[int, ...] | None) -> bool:
        return version is not None and version[0] > self._now().timestamp() * 1e9 - _RECENT_NANOSECONDS

    def _summary(self) -> dict[str, int]:
        states = [key.state(self._now()) for key in self._keys.values()]
        return {str(state): states.count(state) for state in KeyState}
