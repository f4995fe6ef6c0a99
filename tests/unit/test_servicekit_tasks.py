"""Tasks end when they are told to."""

import asyncio
import contextlib

import pytest

from servicekit import tasks


async def test_a_task_ends_that_loses_a_cancellation_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_PATIENCE", 0.01)
    losses = 0

    async def work() -> None:
        nonlocal losses
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                losses += 1
                if losses == 3:
                    raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)

    await tasks.cancel(task)

    assert task.cancelled()
    assert losses == 3


async def test_a_task_that_failed_meanwhile_is_not_raised() -> None:
    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        raise ZeroDivisionError

    task = asyncio.create_task(work())
    await asyncio.sleep(0)

    await tasks.cancel(task)

    assert isinstance(task.exception(), ZeroDivisionError)
