"""`python -m store` as a process, for tests."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fixtures_store import DIMENSION

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

#: Guards against hanging; nothing here takes long.
PATIENCE = 60


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def environment(**variables: str) -> dict[str, str]:
    """Ours, with these variables and small timeouts."""
    return os.environ | {
        "EMBEDDING_DIMENSION": str(DIMENSION),
        "STORE_METRICS_PORT": "0",
        "DATABASE_START_TIMEOUT_SECONDS": "0.2",
        "DRAIN_DELAY_SECONDS": "0",
        "BACKFILL_INTERVAL_SECONDS": "0.05",
        **variables,
    }


def cutting_processes(pid: int | str = "self") -> set[int]:
    """The processes that cut files for a process."""
    pids: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            pids |= {int(child) for child in (task / "children").read_text().split()}
    return {child for child in pids if b"cutting_child" in _command_line(child)}


def _command_line(pid: int) -> bytes:
    """Empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def are_running(pids: set[int]) -> bool:
    """Whether any of them is."""
    return any(Path(f"/proc/{pid}/exe").exists() for pid in pids)


async def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `python -m store`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "store", *arguments,
        env=environment(**variables), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


@asynccontextmanager
async def serving(**variables: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, grpc.aio.Channel]]:
    """A running store and a channel to it."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "store", env=environment(STORE_PORT=str(port), **variables)
    )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), PATIENCE)
            await until_health(channel, SERVING)
            yield process, channel
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_health(channel: grpc.aio.Channel, wanted: int) -> None:
    """Wait until the health service says so."""
    async with asyncio.timeout(PATIENCE):
        async for answer in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
            if answer.status == wanted:
                return
