"""Work that keeps a processor busy."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Converting more bytes than this takes long enough (1 ms a KiB of floats) to keep other calls waiting.
_LARGE_BYTES = 16 * 1024


async def off_loop(size: int, work: Callable[[], T]) -> T:
    """Do work on so many bytes where it does not keep others waiting: in a thread, when there are many."""
    return work() if size <= _LARGE_BYTES else await asyncio.to_thread(work)
