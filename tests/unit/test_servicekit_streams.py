"""When a stream of requests has really ended."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from servicekit.streams import complete


async def two_messages() -> AsyncIterator[bytes]:
    yield b"1"
    yield b"2"


async def test_messages_of_a_caller_that_finished_end() -> None:
    assert [message async for message in complete(two_messages(), lambda: False)] == [b"1", b"2"]


async def test_messages_of_a_caller_that_broke_off_do_not_look_complete() -> None:
    passed = complete(two_messages(), lambda: True)

    assert [await anext(passed), await anext(passed)] == [b"1", b"2"]
    with pytest.raises(asyncio.CancelledError):
        await anext(passed)
