"""Steps of work that run beside each other."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from store.use_cases.ahead import ahead


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
