"""Steps of work that run beside each other."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from store.use_cases.ahead import ahead, in_order


async def numbers(count: int, made: list[int], fails: bool = False) -> AsyncGenerator[int, None]:
    """Numbers, which end with an error or without."""
    try:
        for number in range(count):
            made.append(number)
            yield number
        if fails:
            raise ValueError("the end")
    finally:
        made.append(-1)


async def test_everything_comes_in_order() -> None:
    assert [one async for one in ahead(ahead(numbers(100, [])))] == list(range(100))
    assert [one async for one in ahead(numbers(0, []))] == []


async def test_the_next_ones_are_made_while_one_is_used_and_not_all_of_them() -> None:
    made: list[int] = []
    async with aclosing(ahead(numbers(100, made))) as source:
        await anext(source)
        await asyncio.sleep(0.01)
        assert 2 <= len(made) <= 4
    assert made[-1] == -1  # left off, and tidied up


async def test_an_error_comes_after_all_that_was_made_before_it() -> None:
    seen: list[int] = []

    async def use() -> None:
        async for one in ahead(ahead(numbers(5, [], fails=True))):
            await asyncio.sleep(0.001)
            seen.append(one)

    with pytest.raises(ValueError, match="the end"):
        await use()
    assert seen == [0, 1, 2, 3, 4]


async def test_a_caller_that_is_cancelled_leaves_nothing_behind() -> None:
    made: list[int] = []

    async def use() -> None:
        async with aclosing(ahead(numbers(100, made))) as source:
            async for _ in source:
                await asyncio.sleep(60)

    before = asyncio.all_tasks()
    task = asyncio.create_task(use())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made[-1] == -1
    assert asyncio.all_tasks() <= before


def sleepers(events: list[asyncio.Event], begun: list[int]) -> Iterator[Coroutine[Any, Any, int]]:
    """Pieces of work that end when their events say so; what is cancelled is noted below 0."""

    async def sleeper(number: int) -> int:
        begun.append(number)
        try:
            await events[number].wait()
        except asyncio.CancelledError:
            begun.append(-number)
            raise
        return number

    return (sleeper(number) for number in range(len(events)))


async def test_pieces_that_end_in_any_order_come_in_theirs_and_few_have_begun() -> None:
    events = [asyncio.Event() for _ in range(6)]
    begun: list[int] = []
    for event in events[1:]:
        event.set()
    async with aclosing(in_order(sleepers(events, begun), 3)) as source:
        first = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0.01)
        assert begun == [0, 1, 2]
        assert not first.done()
        events[0].set()
        assert [await first, *[one async for one in source]] == [0, 1, 2, 3, 4, 5]


async def test_pieces_that_nobody_waits_for_are_cancelled() -> None:
    events = [asyncio.Event() for _ in range(6)]
    events[0].set()
    begun: list[int] = []
    async with aclosing(in_order(sleepers(events, begun), 3)) as source:
        assert await anext(source) == 0
    assert begun == [0, 1, 2, -1, -2]
