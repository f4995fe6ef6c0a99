"""The local stack as a process of its own, the way `make run` has it, for tests that kill and signal it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PARTS = ("postgres", "embedder", "store", "gateway")

#: Any free port for everything, and no model: these tests are about processes.
ENVIRONMENT = {
    "BIND_ADDRESS": "127.0.0.1",
    "EMBEDDING_MODE": "mock",
    "EMBEDDER_METRICS_PORT": "0",
    "EMBEDDER_PORT": "0",
    "GATEWAY_HTTP_PORT": "0",
    "GATEWAY_PORT": "0",
    "STORE_METRICS_PORT": "0",
    "STORE_PORT": "0",
    "NO_COLOR": "1",
    "COLUMNS": "200",
}


@dataclass
class StackProcess:
    """A running `python -m deploy.local` and what it printed."""

    process: Process
    lines: list[str] = field(default_factory=list)

    async def until_printed(self, text: str, timeout: float = 90) -> str:
        """Read until a line has `text`; returns that line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout):
            while raw := await self.process.stdout.readline():
                line = raw.decode().rstrip()
                self.lines.append(line)
                if text in line:
                    return line
        raise AssertionError(f"ended without printing {text!r}:\n{self.output}")

    async def until_ended(self, timeout: float = 90) -> int:
        """Read to the end; returns the exit status."""
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout):
            while raw := await self.process.stdout.readline():
                self.lines.append(raw.decode().rstrip())
            return await self.process.wait()

    @property
    def output(self) -> str:
        """All that it printed so far."""
        return "\n".join(self.lines)

    def parts(self) -> dict[str, psutil.Process]:
        """The processes of the parts, by name."""
        found: dict[str, psutil.Process] = {}
        for child in psutil.Process(self.process.pid).children():
            command = child.cmdline()
            name = "postgres" if command[0].endswith("postgres") else command[-1]
            found[name] = child
        return found

    def tree(self) -> list[psutil.Process]:
        """Every process that the stack has started."""
        return psutil.Process(self.process.pid).children(recursive=True)


@asynccontextmanager
async def stack_process(command: str, data_dir: Path, **variables: str) -> AsyncIterator[StackProcess]:
    """Run `python -m deploy.local COMMAND`; whatever is left of it is killed in the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.local",
        command,
        env={**os.environ, **ENVIRONMENT, "TRIMEM_DATA_DIR": str(data_dir), **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        limit=1024 * 1024,
    )
    stack = StackProcess(process)
    try:
        yield stack
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await stack.until_ended()


async def all_gone(processes: list[psutil.Process], timeout: float = 30) -> bool:
    """Wait until none of the processes is left."""
    _gone, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout)
    return not alive
