"""The code of the demonstration: a part of the standard library that every Python carries."""

import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

#: What it is called in the memory.
REPOSITORY = "python/library"

#: With these the modules that are no package. All are in every Python from 3.11 on, on a server without a screen too.
PACKAGES = (
    "asyncio", "collections", "concurrent", "ctypes", "curses", "dbm", "email", "encodings", "http", "importlib",
    "json", "sqlite3", "tomllib", "urllib", "venv", "wsgiref", "xml", "zoneinfo",
)  # fmt: skip

#: Larger files are left out: all of the library takes a laptop half an hour.
MOST_BYTES = 16 * 1024

_TESTS = {"test", "tests", "__pycache__"}


def files() -> list[tuple[str, bytes]]:
    """All files, in the order of their paths; over three hundred."""
    return [(path.relative_to(_library()).as_posix(), path.read_bytes()) for path in sorted(_paths())]


def source() -> str:
    """What the code is, for a person."""
    return f"the Python {platform.python_version()} standard library ({', '.join(PACKAGES[:3])} … in part)"


def _paths() -> Iterator[Path]:
    library = _library()
    for path in (*library.glob("*.py"), *(path for name in PACKAGES for path in (library / name).rglob("*.py"))):
        is_ours = not _TESTS.intersection(path.relative_to(library).parts) and not path.is_symlink()
        if is_ours and path.stat().st_size <= MOST_BYTES:
            yield path


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))
