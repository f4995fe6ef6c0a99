"""PostgreSQL, an embedder and a store as processes that can be killed at any moment, and come back."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from deploy.local.postgres import LocalPostgres, LocalPostgresError, prepare
from deploy.local.process import Part, Process
from tests.fixtures_store import DIMENSION, migrated

KILLABLE = ("postgres", "embedder", "store")


@dataclass
class Cluster:
    """The processes, by name."""

    local: LocalPostgres
    ports: dict[str, int]
    url: str = ""
    processes: dict[str, Process] = field(default_factory=dict)
    #: The last lines of everybody, for the report of a failure.
    log: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the store listens."""
        return f"127.0.0.1:{self.ports['store']}"

    async def start(self, name: str) -> None:
        """Start a part; the database is waited for, services find their own way up."""
        if name == "postgres":
            await self._start_postgres()
            return
        await self._run(Part(name, [sys.executable, "-m", name], self._environment()))

    async def kill(self, name: str) -> None:
        """SIGKILL, and nothing of it is left. For the database that is the server and all its sessions."""
        process = psutil.Process(self.processes[name].pid)
        victims = [process, *process.children(recursive=True)]
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        await self.processes[name].wait()
        await asyncio.to_thread(psutil.wait_procs, victims, 10)

    async def stop(self) -> None:
        """End everything, services first."""
        for name in reversed(KILLABLE):
            if name in self.processes:
                await self.processes[name].stop()

    async def _start_postgres(self) -> None:
        for attempt in range(20):  # the kernel may still hold what the killed server had
            process = await self._run(self.local.part())
            try:
                await self.local.until_ready(process)
            except LocalPostgresError:
                if attempt == 19:
                    raise
                await process.stop()
                await asyncio.sleep(0.25)
            else:
                return

    async def _run(self, part: Part) -> Process:
        process = Process(part, self.keep)
        await process.start()
        self.processes[part.name] = process
        return process

    def keep(self, name: str, line: str) -> None:
        """Remember a line of a part, if it tells more than that a call came and went well."""
        if '"logger": "access"' in line and '"level": "info"' in line:
            return
        self.log.append(f"{name}: {line}")
        del self.log[:-4000]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "BIND_ADDRESS": "127.0.0.1",
            "DATABASE_URL": self.url,
            "DRAIN_DELAY_SECONDS": "0",
            "EMBEDDER_METRICS_PORT": "0",
            "EMBEDDER_PORT": str(self.ports["embedder"]),
            "EMBEDDER_TARGET": f"127.0.0.1:{self.ports['embedder']}",
            "EMBEDDING_DIMENSION": str(DIMENSION),
            "CODE_EMBEDDING_DIMENSION": str(DIMENSION),
            "EMBEDDING_MODE": "mock",
            "ENVIRONMENT": "test",
            "BACKFILL_INTERVAL_SECONDS": "0.5",
            "STORE_METRICS_PORT": "0",
            "STORE_PORT": str(self.ports["store"]),
        }


@asynccontextmanager
async def running_cluster(directory: Path) -> AsyncIterator[Cluster]:
    """Everything up, with an empty migrated database."""
    local = await asyncio.to_thread(prepare, directory)
    cluster = Cluster(local, {name: _free_port() for name in ("embedder", "store")})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cluster.stop)
        await cluster.start("postgres")
        cluster.url = await migrated(await local.create_database("trimem"))
        await cluster.start("embedder")
        await cluster.start("store")
        yield cluster


async def rows(cluster: Cluster, statement: str, *arguments: object) -> list[asyncpg.Record]:
    """Ask the database itself."""
    connection = await asyncpg.connect(cluster.url)
    try:
        return list(await connection.fetch(statement, *arguments))
    finally:
        await connection.close()


def _free_port() -> int:
    """A port that nobody listens on: a part that comes back needs the one that it had."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
