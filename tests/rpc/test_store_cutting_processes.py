"""Files that a parser cannot get through, and processes that die: real ones."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from servicekit.errors import UnavailableError
from store.code.cutting import cut
from store.code.source import CutFile, CutMethod
from store.cutting_processes import CuttingProcesses
from tests.code_files import source
from tests.fixtures_store_process import PATIENCE, are_running, cutting_processes

#: What takes tree-sitter's parser gigabytes, and what only takes long: a second, where the limits below are tenths.
HOSTILE = b"A<B," * 50_000
USUAL = source("uploads.py")
LONG = USUAL * 200


def memory() -> int:
    """Bytes that are resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def until(true: Callable[[], Any]) -> None:
    """Wait for something that other processes do."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def cutting(**options: Any) -> AsyncIterator[CuttingProcesses]:
    """Processes that are ended, and have left nothing."""
    cutter = CuttingProcesses(**options)
    try:
        yield cutter
    finally:
        await cutter.close()
    assert not cutting_processes()


async def test_a_file_that_takes_gigabytes_is_cut_by_lines_and_others_along_their_syntax() -> None:
    async with cutting(memory=300 * 1024 * 1024) as cutter:
        assert not cutting_processes()
        before = memory()
        files = [("a.py", USUAL), ("hostile.ts", HOSTILE), *((f"b{number}.py", USUAL) for number in range(6))]
        done = await asyncio.gather(*(cutter.cut(*each) for each in files))

        assert done[1].method is CutMethod.LINES
        assert done[1].note == "takes too much memory to parse as typescript: cut by lines"
        assert sum(len(chunk.content) for chunk in done[1].chunks) == len(HOSTILE)
        assert [done[0], *done[2:]] == [cut(path, content) for path, content in files if content is USUAL]
        assert memory() - before < 100 * 1024 * 1024
        assert 1 <= len(cutting_processes()) <= 2


async def test_a_file_that_takes_too_long_is_cut_by_lines() -> None:
    async with cutting(most=1, seconds=0.2) as cutter:
        done = [await cutter.cut(*each) for each in (("a.py", USUAL), ("long.py", LONG), ("a.py", USUAL))]
        assert done[1].note == "takes too long to parse as python: cut by lines"
        assert done[0] == done[2] == cut("a.py", USUAL)


async def test_who_kills_a_process_that_cuts_costs_no_file_its_syntax() -> None:
    async with cutting(most=1) as cutter:
        await cutter.cut("a.py", USUAL)
        [first] = cutting_processes()
        cutting_long = asyncio.create_task(cutter.cut("long.py", LONG))
        await asyncio.sleep(0.1)
        os.kill(first, signal.SIGKILL)
        done: CutFile = await cutting_long
        assert done.method is not CutMethod.LINES
        [second] = cutting_processes()
        os.kill(second, signal.SIGKILL)  # while nobody asks it
        await until(lambda: not cutting_processes())
        assert await cutter.cut("a.py", USUAL) == cut("a.py", USUAL)


async def test_who_asks_no_longer_leaves_no_process_at_work() -> None:
    async with cutting(most=1) as cutter:
        await cutter.cut("a.py", USUAL)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(cutter.cut("long.py", LONG * 10), 0.3)
        await until(lambda: not cutting_processes())
        assert await cutter.cut("a.py", USUAL) == cut("a.py", USUAL)


async def test_who_stops_it_in_the_middle_gets_no_lines_and_leaves_no_process() -> None:
    async with cutting(most=1) as cutter:
        await cutter.cut("a.py", USUAL)
        waiting = [asyncio.create_task(cutter.cut("long.py", LONG)) for _ in range(2)]
        await asyncio.sleep(0.1)
        await cutter.close()
        for each in waiting:
            with pytest.raises(UnavailableError):
                await each


async def test_what_goes_wrong_in_a_process_is_said_and_it_goes_on() -> None:
    async with cutting(most=1) as cutter:
        with pytest.raises(RuntimeError, match="Traceback"):
            await cutter.cut("a.py", None)  # type: ignore[arg-type]  # no file has that
        [child] = cutting_processes()
        assert await cutter.cut("a.py", USUAL) == cut("a.py", USUAL)
        assert cutting_processes() == {child}


@pytest.mark.parametrize("interpreter", ["/bin/false", "/nowhere"])
async def test_while_no_process_starts_nothing_is_cut_by_lines(
    interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    async with cutting() as cutter:
        with pytest.raises(UnavailableError):
            await cutter.cut("a.py", USUAL)


async def test_a_process_without_work_ends() -> None:
    async with cutting(idle_seconds=0.0) as cutter:
        await cutter.cut("a.py", USUAL)
        await until(lambda: not cutting_processes())


_PARENT = """
import asyncio, sys
from store.cutting_processes import CuttingProcesses

async def main():
    cutter = CuttingProcesses(seconds=60)
    await asyncio.gather(cutter.cut("a.py", b"x = 1"), cutter.cut("b.py", b"x = 1"))
    print(*(child._process.pid for child in cutter._all), flush=True)
    content = sys.stdin.buffer.read()
    print("asked", flush=True)
    await cutter.cut("long.py", content)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_store_that_is_killed_leaves_no_process() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    pids = {int(pid) for pid in (await process.stdout.readline()).split()}
    assert len(pids) == 2
    process.stdin.write(LONG * 10)
    await process.stdin.drain()
    process.stdin.close()
    assert await process.stdout.readline() == b"asked\n"
    await asyncio.sleep(0.3)
    process.kill()
    await process.wait()
    await until(lambda: not are_running(pids))
