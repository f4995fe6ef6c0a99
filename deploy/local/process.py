"""One process of the local stack: started, watched, stopped, and never outliving the stack."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Forward = Callable[[str, str], None]

_LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True, slots=True)
class Part:
    """What to run and how to end it."""

    name: str
    argv: Sequence[str]
    env: dict[str, str]
    #: Signal that asks for an orderly end.
    stop_signal: signal.Signals = signal.SIGTERM
    #: Seconds it may take before it is killed.
    stop_timeout: float = 15.0
    #: User to run as; None means the present one.
    user: str | None = None


@dataclass
class Process:
    """A running part. Its output goes line by line to `forward(name, line)`; the last lines are kept."""

    part: Part
    forward: Forward
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._running.pid

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError(f"{self.part.name} was not started")
        return self._process

    async def start(self) -> None:
        """Start it in a process group of its own, so that Ctrl-C reaches the stack alone and parts end in order."""
        self._process = await asyncio.create_subprocess_exec(
            *leashed(self.part.argv, self.part.stop_signal, self.part.user),
            env=self.part.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
            limit=1024 * 1024,
        )
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        stream = self._running.stdout
        if stream is None:
            raise RuntimeError("no pipe for the output")
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than the limit: that much of it is lost, the rest is not
                line = b"(a line too long to show)\n"
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self.tail.append(text)
            self.forward(self.part.name, text)

    async def wait(self) -> int:
        """Wait for the end. Returns the exit status; negative is the signal that ended it."""
        status = await self._running.wait()
        if self._reader is not None:
            # Grandchildren may hold the pipe open for ever; what is written by now is read by then.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._reader), 1)
        return status

    async def stop(self) -> None:
        """Ask for the end, then insist."""
        if self._process is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(self.part.stop_signal)
            try:
                await asyncio.wait_for(self._process.wait(), self.part.stop_timeout)
            except TimeoutError:
                self.forward(self.part.name, f"did not stop within {self.part.stop_timeout:.0f} s: killing it")
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                await self._process.wait()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


def leashed(argv: Sequence[str], number: signal.Signals, user: str | None) -> list[str]:
    """A command line that runs `argv` as a user, and has it signalled when this process dies."""
    return [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), str(int(number)), user or "", *argv]


def describe_exit(status: int) -> str:
    """`exited with status 1`, `was killed by SIGKILL`."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"
