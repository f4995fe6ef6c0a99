"""Streams that nobody says anything on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from servicekit.errors import DeadlineExceededError


@asynccontextmanager
async def bounded_silence(longest: float) -> AsyncIterator[Callable[[], None]]:
    """Interrupt the block when `longest` seconds pass without a call of the function that it is given.

    Raises DeadlineExceededError then.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(longest) as timeout:

            def heard() -> None:
                with suppress(RuntimeError):  # it is over already
                    timeout.reschedule(loop.time() + longest)

            yield heard
    except TimeoutError:
        raise DeadlineExceededError(f"no message came or went for {longest:g} seconds") from None
