"""The processes that cut files: no file takes the memory or the time of the store, whatever is in it."""

import asyncio
import pickle
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from typing import Any, Self

import structlog

from servicekit.errors import UnavailableError
from store.code.cutting import cut_by_lines
from store.code.cutting_child import HEADER, READY, packed
from store.code.source import CutFile

#: Bytes beyond those of a process that has cut nothing. A usual MiB takes 100 MiB, the worst one that was found 400.
MOST_MEMORY = 1536 * 1024 * 1024
#: Seconds of computing for one file. A usual MiB takes two, the worst one that was found six.
MOST_SECONDS = 20.0
#: After so many seconds without work a process ends.
_IDLE_SECONDS = 60.0
#: Seconds that one may take until it is ready: for a machine that is very busy.
_START_SECONDS = 60.0


class _EndedError(Exception):
    """The process is no more."""


class CuttingProcesses:
    """The Cutter protocol with `most` processes, each of which is started when it is needed, and cuts a file at a time.

    A file that ends its process is cut by lines. When it was not its first one, a new process tries before: what came
    earlier may have left it little memory, or somebody killed it.
    """

    def __init__(
        self,
        most: int = 2,
        *,
        memory: int = MOST_MEMORY,
        seconds: float = MOST_SECONDS,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        """Starts nothing yet."""
        self._room = asyncio.Semaphore(most)
        self._arguments = (str(memory), str(seconds))
        self._idle_seconds = idle_seconds
        self._idle: dict[_Child, asyncio.TimerHandle] = {}
        self._all: set[_Child] = set()
        self._closed = asyncio.Event()
        self._retiring: set[asyncio.Task[None]] = set()

    async def cut(self, path: str, content: bytes) -> CutFile:
        """Chunks and outline of a file."""
        async with self._room:
            child = await self._child()
            answer = await self._asked(child, path, content)
            if answer is None and not (child.is_new or child.was_late) and not self._closed.is_set():
                child = await self._started()
                answer = await self._asked(child, path, content)
        if answer is not None:
            return answer
        if self._closed.is_set():
            raise _stopping()
        # A fault of a parser looks the same as a parser without memory, which crashes.
        problem = "takes too long to parse" if child.was_late else "takes too much memory to parse"
        structlog.get_logger("code").warning("a file is cut by lines", path=path, problem=problem, exit_code=child.code)
        return await asyncio.to_thread(cut_by_lines, path, content, problem)

    async def close(self) -> None:
        """End all of them, now, and start no more."""
        self._closed.set()
        for handle in self._idle.values():
            handle.cancel()
        self._idle.clear()
        await asyncio.gather(*(self._end(child) for child in list(self._all)))

    async def _child(self) -> "_Child":
        while self._idle:
            child, handle = self._idle.popitem()
            handle.cancel()
            if child.code is None:
                return child
            await self._end(child)
        return await self._started()

    async def _started(self) -> "_Child":
        if self._closed.is_set():
            raise _stopping()
        try:
            child = await _Child.started(*self._arguments)
        except OSError as error:
            raise _not_started(error) from error
        self._all.add(child)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await child.ready()
        except (_EndedError, TimeoutError) as error:
            await self._end(child)
            raise _not_started(error) from error
        except BaseException:
            await self._end(child)
            raise
        if self._closed.is_set():
            await self._end(child)
            raise _stopping()
        return child

    async def _asked(self, child: "_Child", path: str, content: bytes) -> CutFile | None:
        """None when the process has ended."""
        try:
            answer = await child.ask(path, content)
        except _EndedError:
            await self._end(child)
            return None
        except BaseException:  # it may be in the middle of a file that nobody wants any more
            await self._end(child)
            raise
        child.is_new = False
        self._idle[child] = asyncio.get_running_loop().call_later(self._idle_seconds, self._retire, child)
        if isinstance(answer, str):
            raise RuntimeError(answer)  # noqa: TRY004 - a fault of ours in there, with its traceback
        return answer

    def _retire(self, child: "_Child") -> None:
        del self._idle[child]
        retiring = asyncio.create_task(self._end(child))
        self._retiring.add(retiring)  # or nothing would keep it from being collected
        retiring.add_done_callback(self._retiring.discard)

    async def _end(self, child: "_Child") -> None:
        await child.end()
        self._all.discard(child)


class _Child:
    """One process, and what it is asked."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._reading = asyncio.Lock()
        #: Whether it has cut nothing yet.
        self.is_new = True

    @classmethod
    async def started(cls, *arguments: str) -> Self:
        """A new one, not yet ready. Signals to the group of the store are not for it."""
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "store.code.cutting_child", *arguments),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,
            )
        )

    @property
    def code(self) -> int | None:
        """How it ended; None while it has not."""
        return self._process.returncode

    @property
    def was_late(self) -> bool:
        """Whether its time was up."""
        return self.code == -signal.SIGPROF

    async def ready(self) -> None:
        """Wait until it has imported everything. Raises _EndedError."""
        if await self._answer() != READY:
            raise _EndedError

    async def ask(self, path: str, content: bytes) -> CutFile | str:
        """The file in pieces, or what went wrong. Raises _EndedError."""
        writer = self._process.stdin
        assert writer is not None  # noqa: S101 - a PIPE
        try:
            writer.write(packed((path, content)))
            await writer.drain()
        except OSError:
            raise _EndedError from None
        answer: CutFile | str = await self._answer()
        return answer

    async def end(self) -> None:
        """Kill it, and read what it has left: a pipe that nobody reads would keep it from being over."""
        with suppress(ProcessLookupError):
            self._process.kill()
        async with self._reading:
            await self._process.communicate()

    async def _answer(self) -> Any:
        reader = self._process.stdout
        assert reader is not None  # noqa: S101 - a PIPE
        try:
            async with self._reading:
                body = await reader.readexactly(*HEADER.unpack(await reader.readexactly(HEADER.size)))
        except asyncio.IncompleteReadError:
            raise _EndedError from None
        return await asyncio.to_thread(pickle.loads, body)  # from a process of ours


def _not_started(error: Exception) -> UnavailableError:
    structlog.get_logger("code").error("no process that cuts files starts", error=repr(error))
    return UnavailableError("no process that cuts files can be started")


def _stopping() -> UnavailableError:
    return UnavailableError("the store stops")
