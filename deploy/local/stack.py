"""PostgreSQL, embedder, store and gateway, started in order and ended together."""

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Never, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.postgres import LocalPostgres, prepare
from deploy.local.process import Forward, Part, Process, describe_exit
from deploy.local.settings import LocalSettings
from servicekit.channels import open_channel
from servicekit.tls import CertificateFiles

Report = Callable[[str], None]
T = TypeVar("T")


class StackError(RuntimeError):
    """The stack cannot start, or one of its parts has ended. The message names the part and is for people."""


@dataclass
class Stack:
    """The running parts and where they listen."""

    settings: LocalSettings
    ports: Mapping[str, int]
    database_url: str
    forward: Forward
    report: Report
    processes: dict[str, Process] = field(default_factory=dict)
    _watches: dict[asyncio.Task[int], Process] = field(default_factory=dict)

    def address(self, variable: str) -> str:
        """`host:port` of a port variable, such as GATEWAY_PORT."""
        host = self.settings.bind_address
        return f"{f'[{host}]' if ':' in host else host}:{self.ports[variable]}"

    def environment(self) -> dict[str, str]:
        """What every service gets to know: our environment without the database, and what was decided here."""
        return {
            **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DATABASE_URL_FILE")},
            **{name: str(port) for name, port in self.ports.items()},
            "BIND_ADDRESS": self.settings.bind_address,
            **{f"{name}_TARGET": self.address(f"{name}_PORT") for name in ("EMBEDDER", "STORE") if self.ports},
            "EMBEDDING_MODEL": self.settings.embedding_model,
            "EMBEDDING_DIMENSION": str(self.settings.embedding_dimension),
            "CODE_EMBEDDING_MODEL": self.settings.code_embedding_model,
            "CODE_EMBEDDING_DIMENSION": str(self.settings.code_embedding_dimension),
            "LOG_FORMAT": self.settings.log_format,
            "PYTHONUNBUFFERED": "1",
        }

    def store_environment(self) -> dict[str, str]:
        """The same for the store, which alone speaks to the database."""
        return {**self.environment(), "DATABASE_URL": self.database_url}

    async def start(self, part: Part) -> Process:
        """Start a part and watch it from now on."""
        process = Process(part, self.forward)
        await process.start()
        self.processes[part.name] = process
        self._watches[asyncio.create_task(process.wait(), name=part.name)] = process
        return process

    async def start_service(self, name: str, port_variable: str) -> None:
        """Start `python -m name` and wait until its health says SERVING."""
        began = time.monotonic()
        environment = self.store_environment() if name == "store" else self.environment()
        await self.start(Part(name, [sys.executable, "-m", name], environment))
        timeout = self.settings.start_timeout_seconds
        try:
            async with asyncio.timeout(timeout):
                await self.while_live(_until_serving(self.address(port_variable), self.settings.channel_files()))
        except TimeoutError:
            raise StackError(f"{name} was not healthy within {timeout:.0f} s (START_TIMEOUT_SECONDS)") from None
        self.report(f"{name} is ready on {self.address(port_variable)} ({time.monotonic() - began:.1f} s)")

    async def migrate(self) -> None:
        """Bring the database to the newest schema."""
        began = time.monotonic()
        argv = [sys.executable, "-m", "store", "migrate"]
        process = Process(Part("migrate", argv, self.store_environment()), self.forward)
        await process.start()
        try:
            status = await process.wait()
        finally:
            await process.stop()
        if status != 0:
            raise StackError("\n  ".join([f"migrate {describe_exit(status)}", *process.tail]))
        self.report(f"schema is up to date ({time.monotonic() - began:.1f} s)")

    async def ended(self) -> Never:
        """Wait until any part ends, which it should not. Raises StackError, naming it."""
        done, _ = await asyncio.wait(self._watches, return_when=asyncio.FIRST_COMPLETED)
        watch = done.pop()
        process = self._watches[watch]
        message = f"{process.part.name} {describe_exit(watch.result())}"
        self.report(f"{message}: stopping everything")  # at once; the error is shown when all has ended
        raise StackError("\n  ".join([message, *process.tail]))

    async def while_live(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end and return what it returns; raises StackError as soon as a part ends before that."""
        working = asyncio.create_task(work)
        watching = asyncio.create_task(self.ended())
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
            return await working
        finally:
            working.cancel()
            watching.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def stop(self) -> None:
        """Stop the parts in the reverse order, each when those that use it are gone."""
        for watch in self._watches:
            watch.cancel()
        for name, process in reversed(self.processes.items()):
            began = time.monotonic()
            await process.stop()
            self.report(f"{name} stopped ({time.monotonic() - began:.1f} s)")


@asynccontextmanager
async def running_stack(settings: LocalSettings, forward: Forward, report: Report) -> AsyncIterator[Stack]:
    """Everything up and healthy for as long as the context lasts; nothing is left when it ends, however it ends."""
    ports = settings.ports()
    async with running_database(settings, forward, report, ports) as stack:
        await stack.start_service("embedder", "EMBEDDER_PORT")
        await stack.start_service("store", "STORE_PORT")
        await stack.start_service("gateway", "GATEWAY_PORT")
        yield stack


@asynccontextmanager
async def running_database(
    settings: LocalSettings, forward: Forward, report: Report, ports: Mapping[str, int] = MappingProxyType({})
) -> AsyncIterator[Stack]:
    """The database up and at the newest schema: a stack without services yet."""
    data_dir = settings.trimem_data_dir.resolve()
    try:
        (data_dir / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"TRIMEM_DATA_DIR={data_dir} cannot be used: {error.strerror}") from None
    async with AsyncExitStack() as exits:
        if ports or settings.database_url is None:  # migrating somebody's database needs nothing of ours
            exits.enter_context(_only_one_stack(data_dir))
        logged = exits.enter_context(_log_files(data_dir / "logs", forward))
        local: LocalPostgres | None = None
        if settings.database_url is None:
            local = await asyncio.to_thread(prepare, data_dir / "postgres")
            for folder in local.opened:
                report(f"postgres runs as {local.system_user}, which may now pass through {folder} (o+x)")
            url = local.url(settings.postgres_db)
        else:
            url = settings.database_url.get_secret_value()
        stack = Stack(settings, ports, url, logged, report)
        exits.push_async_callback(stack.stop)
        if local is not None:
            began = time.monotonic()
            await local.until_ready(await stack.start(local.part()))
            await local.create_database(settings.postgres_db)
            report(f"postgres is ready in {data_dir / 'postgres'} ({time.monotonic() - began:.1f} s)")
        await stack.migrate()
        yield stack


async def _until_serving(address: str, tls: CertificateFiles | None) -> None:
    async with open_channel(address, (), max_message_bytes=1024 * 1024, tls=tls) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            with suppress(grpc.aio.AioRpcError):
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(0.05)


@contextmanager
def _only_one_stack(data_dir: Path) -> Iterator[None]:
    """Two stacks on one data directory would be two writers of one database."""
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(
                f"another stack runs on {data_dir}; stop it, or set TRIMEM_DATA_DIR to another folder"
            ) from None
        yield


@contextmanager
def _log_files(folder: Path, forward: Forward) -> Iterator[Forward]:
    """Keep the last run's output of each part in a file of its own, whatever the terminal shows."""
    files: dict[str, IO[str]] = {}

    def write(name: str, line: str) -> None:
        if name not in files:
            files[name] = (folder / f"{name}.log").open("w", buffering=1)
        files[name].write(line + "\n")
        forward(name, line)

    try:
        yield write
    finally:
        for file in files.values():
            file.close()
