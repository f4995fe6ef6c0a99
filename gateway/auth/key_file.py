"""The file that API keys are kept in: JSON, written as a whole."""

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from gateway.auth.keys import ApiKey, is_id, is_name
from gateway.auth.scopes import Scope
from servicekit.errors import FailedPreconditionError

T = TypeVar("T")

_VERSION = 1
_REQUIRED = {"id", "name", "scopes", "salt", "digest", "created"}
_OPTIONAL = {"expires", "revoked"}

#: Tens of thousands of keys. What is larger is another file.
_MAX_BYTES = 16 * 1024 * 1024


class KeyFileError(FailedPreconditionError):
    """The file cannot be read or written, or does not hold keys."""

    reason = "API_KEYS_FILE_UNUSABLE"


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """All keys of a file, those that expired or were revoked too. Raises KeyFileError."""
    return parse_keys(_read(path), path)


def parse_keys(raw: bytes, path: Path) -> tuple[ApiKey, ...]:
    """The keys in the bytes of a file. Raises KeyFileError, which never quotes what is in the file.

    What this version does not know is refused: it might say that a key must not do something.
    """
    try:
        tree = json.loads(raw)
    except (ValueError, RecursionError):
        raise KeyFileError(f"{path}: is not JSON") from None
    if not isinstance(tree, dict) or set(tree) != {"version", "keys"} or not isinstance(tree["keys"], list):
        raise KeyFileError(f"{path}: must be an object with version and keys")
    if tree["version"] != _VERSION:
        raise KeyFileError(f"{path}: is not of version {_VERSION}")
    keys = []
    for index, entry in enumerate(tree["keys"]):
        try:
            keys.append(_key(entry))
        except _BadFieldError as error:
            raise KeyFileError(f"{path}: keys[{index}]: {error}") from None
    if len({key.id for key in keys}) != len(keys):
        raise KeyFileError(f"{path}: two keys have the same id")
    return tuple(keys)


@contextmanager
def changing(path: Path) -> Iterator["KeyChange"]:
    """The keys of a file, to be changed while no other writer can: `change.keys` is written at the end.

    A file that is not there is an empty one. An exception leaves the file as it was. Owner, group and mode stay:
    who changes it may be root, and the gateway must be able to read it. Raises KeyFileError.
    """
    path = path.resolve()  # replacing a link would leave its target as it was
    with _locked(path):
        try:
            keys = read_keys(path)
        except KeyFileError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            keys = ()
        change = KeyChange(keys)
        yield change
        if change.keys != keys:
            _write(path, change.keys)


class KeyChange:
    """Keys that somebody is changing."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self.keys: tuple[ApiKey, ...] = tuple(keys)


class _BadFieldError(ValueError):
    """A field of a key is wrong."""


def _read(path: Path) -> bytes:
    try:
        # Without O_NONBLOCK a pipe that nobody writes to would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise KeyFileError(f"{path}: is not a file")
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    if len(raw) > _MAX_BYTES:
        raise KeyFileError(f"{path}: is larger than {_MAX_BYTES} bytes")
    return raw


def _key(entry: Any) -> ApiKey:
    if not isinstance(entry, dict):
        raise _BadFieldError("must be an object")
    if missing := _REQUIRED - set(entry):
        raise _BadFieldError(f"{min(missing)} is missing")
    if set(entry) - _REQUIRED - _OPTIONAL:
        raise _BadFieldError("has a field that this version does not know")
    scopes = entry["scopes"]
    if not isinstance(scopes, list) or not scopes:
        raise _BadFieldError("scopes must be a list that is not empty")
    return ApiKey(
        id=_field(entry, "id", _checked(is_id)),
        name=_field(entry, "name", _checked(is_name)),
        scopes=frozenset(_field({"scopes": scope}, "scopes", Scope) for scope in scopes),
        salt=_field(entry, "salt", _bytes_of(16)),
        digest=_field(entry, "digest", _bytes_of(32)),
        created=_field(entry, "created", _time),
        expires=None if entry.get("expires") is None else _field(entry, "expires", _time),
        revoked=None if entry.get("revoked") is None else _field(entry, "revoked", _time),
    )


def _field(entry: dict[str, Any], name: str, read: Callable[[str], T]) -> T:
    value = entry[name]
    try:
        if isinstance(value, str):
            return read(value)
    except ValueError:
        pass
    raise _BadFieldError(f"{name} is not valid")


def _checked(check: Callable[[str], bool]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not check(text):
            raise ValueError
        return text

    return read


def _bytes_of(length: int) -> Callable[[str], bytes]:
    def read(text: str) -> bytes:
        value = bytes.fromhex(text)
        if len(value) != length:
            raise ValueError
        return value

    return read


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(UTC)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Beside the file, because the file itself is replaced."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeyFileError(f"{lock}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError, PermissionError):  # root must not lock the owner out
            owned = path.stat()
            os.fchown(descriptor, owned.st_uid, owned.st_gid)
        yield
    finally:
        os.close(descriptor)  # releases the lock


def _write(path: Path, keys: Sequence[ApiKey]) -> None:
    """Replace the file at once: whoever reads it finds the old one or the new one, after a loss of power too."""
    text = json.dumps({"version": _VERSION, "keys": [_entry(key) for key in keys]}, indent=2) + "\n"
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # of mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                _stay_readable(descriptor, path)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error


def _stay_readable(descriptor: int, path: Path) -> None:
    """Give a new file the owner, group and mode of the one that it replaces. Raises KeyFileError."""
    try:
        like = path.stat()
        os.fchown(descriptor, like.st_uid, like.st_gid)
        os.fchmod(descriptor, like.st_mode & 0o777)
    except FileNotFoundError:
        pass
    except PermissionError:
        raise KeyFileError(f"{path}: only its owner or root may change it, or it would get another owner") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entry(key: ApiKey) -> dict[str, Any]:
    entry = {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "salt": key.salt.hex(),
        "digest": key.digest.hex(),
        "created": time_text(key.created),
    }
    for name, time in (("expires", key.expires), ("revoked", key.revoked)):
        if time is not None:
            entry[name] = time_text(time)
    return entry


def time_text(time: datetime) -> str:
    """A time as the file has it: RFC 3339, in UTC, in full seconds."""
    return time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
