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
    queue: asyncio.Queue[T] = asyncio.Queue(maxsize=1)
    feeding = asyncio.create_task(_feed(source, queue))
    try:
        while (waiting := await _next(queue, feeding)) is not None:
            yield waiting[0]
    finally:
        await tasks.cancel(feeding)


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


async def _feed(source: AsyncGenerator[T, None], queue: "asyncio.Queue[T]") -> None:
    async with aclosing(source):
        async for one in source:
            await queue.put(one)


async def _next(queue: "asyncio.Queue[T]", feeding: "asyncio.Task[None]") -> tuple[T] | None:
    """The next piece; None at the end. Raises what made an end of it."""
    getting = asyncio.create_task(queue.get())
    try:
        await asyncio.wait([getting, feeding], return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return (getting.result(),)
        if not queue.empty():  # put as the last thing before the end
            return (queue.get_nowait(),)
    finally:
        await tasks.cancel(getting)
    feeding.result()
    return None
