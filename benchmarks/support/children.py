"""Processes that the benchmarks start, and make sure to end."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any

#: Guards against hanging: models load in seconds, and the longest measurement takes a minute or two.
PATIENCE_SECONDS = 300
#: A line may carry thousands of texts.
_LINE_LIMIT = 256 * 1024 * 1024

#: Any free port for everything, and no pause before the end.
_ANY_PORT = {
    "EMBEDDER_PORT": "0",
    "EMBEDDER_METRICS_PORT": "0",
    "STORE_PORT": "0",
    "STORE_METRICS_PORT": "0",
    "GATEWAY_PORT": "0",
    "GATEWAY_HTTP_PORT": "0",
    "DRAIN_DELAY_SECONDS": "0",
}


class ChildEndedError(RuntimeError):
    """A process ended, or failed, while it was needed."""


class Child:
    """A module of ours that answers each JSON line on its standard input with one on its standard output."""

    def __init__(self, module: str, process: asyncio.subprocess.Process) -> None:
        self._module = module
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def ask(self, **question: Any) -> Any:
        """Send a question and wait for the answer. Raises ChildEndedError."""
        writer, reader = self._process.stdin, self._process.stdout
        assert writer is not None
        assert reader is not None
        writer.write(json.dumps(question).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await writer.drain()
            line = await reader.readline()
        answer = json.loads(line) if line else {"error": "it ended"}
        if "error" in answer:
            raise ChildEndedError(f"{self._module}: {answer['error']}")
        return answer["answer"]


def answer_lines(answer: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
    """The other end of `Child`: run until standard input ends."""

    async def run() -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                reply = {"answer": await answer(json.loads(line))}
            except Exception as error:
                reply = {"error": repr(error)}
            print(json.dumps(reply), flush=True)

    asyncio.run(run())


@asynccontextmanager
async def child(module: str, **variables: str) -> AsyncIterator[Child]:
    """Run one of our modules with nothing but these variables."""
    async with _process(module, variables, stdout=PIPE, stderr=None) as process:
        yield Child(module, process)


class ServerProcess:
    """A server that listens, and the end of its log."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: Sequence[str], log: deque[str]) -> None:
        self.process = process
        #: Where it listens, in the order in which it began to.
        self.addresses = addresses
        self.log = log

    @property
    def address(self) -> str:
        """The first of its addresses."""
        return self.addresses[0]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.returncode is None


@asynccontextmanager
async def server(module: str, listeners: int = 1, /, **variables: str) -> AsyncIterator[ServerProcess]:
    """Run a server, on free ports unless told otherwise, from when it listens at all of its `listeners`.

    It logs JSON lines to standard error, for each of them `{"event": "listening", "address": ...}`. Raises
    ChildEndedError, with the log, when it ends before that.
    """
    async with _process(module, {**_ANY_PORT, **variables}, stdout=DEVNULL, stderr=PIPE) as process:
        log: deque[str] = deque(maxlen=30)
        async with asyncio.timeout(PATIENCE_SECONDS):
            addresses = [await _next_address(process, log) for _ in range(listeners)]
        reading = asyncio.create_task(_follow(process, log))
        try:
            yield ServerProcess(process, addresses, log)
        finally:
            reading.cancel()


async def _next_address(process: asyncio.subprocess.Process, log: deque[str]) -> str:
    async for line in _lines(process, log):
        if line.startswith("{") and (event := json.loads(line)).get("event") == "listening":
            return str(event["address"])
    raise ChildEndedError("\n".join(["ended before it listened:", *log]))


async def _follow(process: asyncio.subprocess.Process, log: deque[str]) -> None:
    async for _ in _lines(process, log):
        pass


async def _lines(process: asyncio.subprocess.Process, log: deque[str]) -> AsyncIterator[str]:
    assert process.stderr is not None
    async for raw in process.stderr:
        log.append(raw.decode(errors="replace").rstrip())
        yield log[-1]


@asynccontextmanager
async def _process(
    module: str, variables: Mapping[str, str], *, stdout: int, stderr: int | None
) -> AsyncIterator[asyncio.subprocess.Process]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    with TemporaryDirectory(prefix="trimem-benchmark-") as folder:  # one without a `.env`
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            cwd=folder,
            env={**kept, **variables},
            stdin=PIPE,
            stdout=stdout,
            stderr=stderr,
            limit=_LINE_LIMIT,
            start_new_session=True,  # Ctrl-C is ours to handle: they end when we tell them to
        )
        try:
            yield process
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(15):
            await process.wait()
    except TimeoutError:
        pass
    finally:  # also when we are cancelled while we wait
        if process.returncode is None:
            process.kill()
            await process.wait()


def run_until_interrupted(main: Callable[[], Awaitable[int]]) -> int:
    """Run, and turn SIGINT and SIGTERM into a cancellation, so that every process is ended. Returns the exit status."""

    async def supervised() -> int:
        task = asyncio.ensure_future(main())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            print("interrupted", file=sys.stderr)
            return 130

    return asyncio.run(supervised())
