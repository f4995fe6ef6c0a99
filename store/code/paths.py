"""Which names repositories and files may have."""

import re

from servicekit.errors import InvalidArgumentError

#: Bytes of a path.
LONGEST_PATH = 1024

_REPOSITORY = re.compile(r"[A-Za-z0-9._/@-]{1,200}")
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def accept_repository(name: str) -> str:
    """The name, when it may be one. Raises InvalidArgumentError for `repository`."""
    if not name:
        raise InvalidArgumentError("repository", "is required")
    if not _REPOSITORY.fullmatch(name):
        raise InvalidArgumentError("repository", "must be 1 to 200 of letters, digits and ._/@-")
    return name


def accept_path(field: str, path: str) -> str:
    """The path, when it may be one: it means the same file on every system, inside of the repository.

    Raises InvalidArgumentError for `field`.
    """
    if not path:
        raise InvalidArgumentError(field, "is required")
    if len(path) > LONGEST_PATH or len(path.encode(errors="replace")) > LONGEST_PATH:
        raise InvalidArgumentError(field, f"must have at most {LONGEST_PATH} bytes")
    if _CONTROL.search(path):
        raise InvalidArgumentError(field, "must not have control characters")
    if "\\" in path:
        raise InvalidArgumentError(field, "must be written with /, not with a backslash")
    if path.startswith("/") or _DRIVE.match(path):
        raise InvalidArgumentError(field, "must not be absolute")
    if {"", ".", ".."} & set(path.split("/")):
        raise InvalidArgumentError(field, "must not have an empty part, . or ..")
    return path
