"""Work of several steps, each of which does the next piece while the one after it does the last."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

from servicekit import tasks

T = TypeVar("T")


async def ahead(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """What `source` yields, with the next one in the making while its caller works.

    One finished piece may wait, so memory is bounded. What `source` raises comes after all that it yielded.
    """
    async with aclosing(source):
        making = asyncio.ensure_future(anext(source, None))
        try:
            while (one := await making) is not None:
                making = asyncio.ensure_future(anext(source, None))
                yield one
        finally:
            await tasks.cancel(making)


async def in_order(work: Iterator[Coroutine[Any, Any, T]], most: int) -> AsyncGenerator[T, None]:
    """What each piece of work returns, in their order. `most` of them run or have ended, and no other has begun."""
    running: deque[asyncio.Task[T]] = deque()
    try:
        for piece in work:
            running.append(asyncio.create_task(piece))
            if len(running) == most:
                yield await running[0]
                running.popleft()
        while running:
            yield await running[0]
            running.popleft()
    finally:
        for task in running:
            await tasks.cancel(task)
