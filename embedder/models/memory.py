"""How much memory this process has, how much it may have, and refusing models that would not fit."""

import ctypes
import gc
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

from servicekit.errors import ResourceExhaustedError

#: Part of the control group's limit that we plan with. The kernel counts buffers and page tables that RSS does not
#: show, and beyond the limit it kills.
_SHARE_OF_LIMIT = 0.9

#: Version 1 of control groups says "no limit" with the largest multiple of a page; nobody has 4 EiB.
_NO_LIMIT = 2**62

#: mallopt(3). Blocks of a MiB and more are weights, and activations of long batches: mapping them anew costs no time
#: that could be measured with torch. From 128 KiB on, it does.
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK = 2**20


class MemoryBudgetError(ResourceExhaustedError):
    """Loading a model would take more memory than we may have. What is loaded goes on."""

    reason = "MEMORY_BUDGET"


class MemoryWatch:
    """Measures this process and finds the limit of its control group."""

    def __init__(self, *, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        """`proc` and `cgroups` are where the kernel shows its files."""
        self._process = psutil.Process()
        self._proc = proc
        self._cgroups = cgroups

    def rss(self) -> int:
        """Bytes of this process that are in memory, shared libraries included."""
        resident: int = self._process.memory_info().rss
        return resident

    def limit(self) -> int | None:
        """The least limit in bytes of the control groups that we are in, or None: without one, or not on Linux."""
        found = [limit for path in self._limit_files() if (limit := _read_limit(path)) is not None]
        return min(found, default=None)

    def _limit_files(self) -> Iterator[Path]:
        """Where limits may be, for versions 1 and 2 of control groups. A limit holds for all groups below it."""
        try:
            lines = (self._proc / "self" / "cgroup").read_text("utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            _, controllers, group = line.split(":", 2)
            if not controllers:
                # A machine with both versions has the second in a folder of its own.
                for root in (self._cgroups, self._cgroups / "unified"):
                    yield from _upwards(root, group, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _upwards(self._cgroups / "memory", group, "memory.limit_in_bytes")


def _upwards(root: Path, group: str, name: str) -> Iterator[Path]:
    """The file in a group and in all groups above it. In a container the path may be the host's: what exists counts."""
    folder = root / group.lstrip("/")
    for parent in (folder, *folder.parents):
        if parent.is_relative_to(root) and ".." not in parent.parts:
            yield parent / name


def _read_limit(path: Path) -> int | None:
    try:
        limit = int(path.read_text("ascii"))
    except (OSError, ValueError):  # no such group here, or "max"
        return None
    return limit if limit < _NO_LIMIT else None


class MemoryBudget:
    """Bytes that this process may have in memory after a load."""

    def __init__(self, budget_bytes: int | None, watch: MemoryWatch) -> None:
        """Without `budget_bytes` the budget is nine tenths of the control group's limit, or none without a limit."""
        self._given = budget_bytes
        self._loading = threading.Lock()
        self._watch = watch

    def used(self) -> int:
        """Bytes of this process that are in memory."""
        return self._watch.rss()

    def budget(self) -> int | None:
        """The budget in bytes, or None when there is none. Limits of control groups may change while we run."""
        if self._given is not None:
            return self._given
        limit = self._watch.limit()
        return None if limit is None else int(limit * _SHARE_OF_LIMIT)

    @contextmanager
    def reserved(self, name: str, need_bytes: int, *, meanwhile: int = 0) -> Iterator[None]:
        """Load a model that needs `need_bytes` more within this block, if it fits, while nobody else loads one.

        `meanwhile` is what loading takes outside of this process, which counts in the control group only. `name` is
        what errors call the model. Raises MemoryBudgetError.
        """
        with self._loading:
            self._require(name, need_bytes if self._given is not None else max(need_bytes, meanwhile))
            yield

    def _require(self, name: str, need_bytes: int) -> None:
        budget = self.budget()
        used = self.used()
        if budget is None or used + need_bytes <= budget:
            return
        origin = "EMBEDDING_MEMORY_BUDGET_MB" if self._given is not None else "90 % of the control group's limit"
        remedy = "raise EMBEDDING_MEMORY_BUDGET_MB" if self._given is not None else "raise the limit of the container"
        raise MemoryBudgetError(
            f"model {name!r}: needs about {_mb(need_bytes)} MB, {_mb(used)} MB are in use and the budget is "
            f"{_mb(budget)} MB ({origin}): {remedy}, or choose a smaller model or EMBEDDING_PRECISION=bf16 or int8"
        )


def _mb(size: int) -> int:
    return round(size / 2**20)


def map_large_blocks() -> None:
    """Have the allocator take large blocks from the system one by one, and give each back when it is freed.

    To be called before models are loaded. glibc raises its threshold for that, 128 KiB at first, to the size of the
    largest block that was ever freed, up to 32 MiB. From then on weights and activations lie in its heap, and what is
    freed between them stays: 15 MiB under load with models of 137 and 161 million in bf16, 70 MiB with the same two in
    int8. A threshold that was set stays as it is.
    """
    set_option = _of_libc("mallopt")
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


def limit_kernel_caches() -> None:
    """Have torch keep what it made for fewer shapes of matrix products. To be called before the first product.

    For each of the last 1024 shapes oneDNN keeps machine code, half a megabyte, and torch above it a description, a
    quarter, for each thread. Few texts have lengths that are still there when they are needed, and making them anew
    takes a millisecond: the rate is the same with 32 and 16 (docs/adr/0006). Variables that are set stay as they are.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "16")


def release_memory() -> None:
    """Give memory that nothing refers to any more back to the system.

    glibc keeps what was freed for the next allocation, and an unloaded model would still fill the budget. A model that
    refers to itself in a circle would stay: loading froze what the collector may look at (`_collector_at_rest`).
    """
    gc.collect()
    trim_heap()


def trim_heap() -> None:
    """Give free pages of the heap back to the system: some milliseconds in which threads may wait to allocate.

    Each thread that computes has a heap of its own, which grows to the largest that was ever at once in it.
    """
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _of_libc(name: str) -> Callable[..., int] | None:
    """A function of glibc, or None where the C library is another one or does not have it."""
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return found
