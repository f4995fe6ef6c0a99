"""Reading below a folder, and never outside of it: no part of a path may be a symbolic link, whenever it became one."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOTSUP
from pathlib import Path


def _flags(*names: str) -> int:
    """0 on a system that does not have them all, which `Folder` refuses; the other commands work there."""
    return sum(getattr(os, name) for name in names) if all(hasattr(os, name) for name in names) else 0


_FOLDER = _flags("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
#: A pipe that took the place of a file must not keep us waiting.
_FILE = _flags("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")


class NotRegularError(OSError):
    """There is no regular file of that name, but something else."""


class ChangedError(OSError):
    """A file is written while it is read."""


class Folder:
    """A folder that is open, so that nothing that happens to its name leads elsewhere."""

    def __init__(self, path: Path) -> None:
        """Raises OSError. The path itself may be a symbolic link: who named it meant what it leads to."""
        if not (_FOLDER and _FILE):
            raise OSError(ENOTSUP, "this system does not tell links from files in time")
        self.path = path
        self._root = os.open(path, _FOLDER & ~os.O_NOFOLLOW)

    def close(self) -> None:
        """Give it back."""
        os.close(self._root)

    @contextmanager
    def opened(self, path: str) -> Iterator[int]:
        """A descriptor of the folder below it at `path`; of itself for an empty one. Raises OSError."""
        descriptor = os.dup(self._root)
        try:
            for part in path.split("/") if path else ():
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, path: str, most: int) -> bytes:
        """What is in a file, and of a larger one no more than `most` bytes and one.

        Raises OSError, among others NotRegularError, and ChangedError when it is not the same twice in a row.
        """
        above, _, name = path.rpartition("/")
        with self.opened(above) as folder:
            for _attempt in range(2):
                descriptor = os.open(name, _FILE, dir_fd=folder)
                with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - of a descriptor
                    before = os.fstat(descriptor)
                    if not stat.S_ISREG(before.st_mode):
                        raise NotRegularError(f"{path} is not a regular file")
                    content = _read(file.fileno(), most + 1)
                    if _version(before) == _version(os.fstat(descriptor)):
                        return content
        raise ChangedError(f"{path} changes while it is read")


def _read(descriptor: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(descriptor, min(most, 1024 * 1024))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _version(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
