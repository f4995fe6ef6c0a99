"""Streams of requests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

T = TypeVar("T")

#: How long after the last message of a stream to wait for word that the caller broke it off rather than ended it.
_END_SECONDS = 0.005


async def complete(requests: AsyncIterator[T], is_cancelled: Callable[[], bool]) -> AsyncIterator[T]:
    """The messages of a caller, ending only when the caller said that they are all.

    When a call is cancelled, gRPC first ends its messages as if they were complete and only then cancels the handler.
    Taken like that, half an import would look like a whole one. `is_cancelled` is that of the call's context.
    """
    async for request in requests:
        yield request
    await asyncio.sleep(_END_SECONDS)
    if is_cancelled():
        raise asyncio.CancelledError
