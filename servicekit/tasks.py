"""Tasks that are to end."""

import asyncio
from typing import Any

#: Seconds between two attempts.
_PATIENCE = 1.0


async def cancel(task: "asyncio.Future[Any]") -> None:
    """Cancel a task until it has ended, however it does.

    Once may not be enough: a cancellation that meets the end of a lost connection goes under in the error of that.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE)
    if not task.cancelled():
        task.exception()  # or asyncio would complain that nobody asked
