"""Several embedders behind one name: processes on addresses of their own, and the channel that the others open."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.channels import open_channel
from tests.fixtures_dns import Names, name_server
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc

#: Guards against hanging. Nothing here takes long on a machine that is not busy.
PATIENCE = 120

NAME = "embedder.test"
EMBED = "/trimem.embedding.v1.EmbeddingService/Embed"
SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"]
ADDRESSES = [f"127.0.0.{number}" for number in (1, 2, 3, 4)]

#: Enough words that a mock works on them for a while.
LONG = [" ".join(f"word{number}" for number in range(400))] * 8


@dataclass(frozen=True)
class Replica:
    """One `python -m embedder`."""

    address: str
    process: asyncio.subprocess.Process
    log: Path

    def events(self) -> list[dict[str, str]]:
        """What it has logged. Other lines would be of Python itself."""
        return [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("}\n")]

    def codes(self) -> list[str]:
        """The codes of all Embed calls that it has answered. It logs a call when the answer is on its way."""
        return [event["code"] for event in self.events() if event.get("method") == EMBED]

    def says(self, event: str) -> bool:
        return any(one.get("event") == event for one in self.events())


@dataclass
class Fleet:
    """Embedders that listen on one port of several addresses, and the name that they are found by."""

    names: Names
    port: int
    folder: Path
    variables: dict[str, str]
    stack: AsyncExitStack

    async def start(self, *addresses: str) -> list[Replica]:
        """Start one embedder for each address and give the addresses to the name when they serve."""
        replicas = [await self._start(address) for address in addresses]
        for replica in replicas:
            await until(replica, health_pb2.HealthCheckResponse.SERVING)
        self.names.addresses[NAME] += addresses
        return replicas

    async def channel(self, *, retries: bool = True) -> grpc.aio.Channel:
        """The channel that the gateway and the store open."""
        target = self.names.target(NAME, self.port)
        services = [SERVICE] if retries else []
        return await self.stack.enter_async_context(open_channel(target, services, max_message_bytes=1_000_000_000))

    async def _start(self, address: str) -> Replica:
        log = self.folder / f"{address}.log"
        own = {
            "EMBEDDING_MODE": "mock",
            "BIND_ADDRESS": address,
            "EMBEDDER_PORT": str(self.port),
            "EMBEDDER_METRICS_PORT": "0",
        }
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "embedder"),
                cwd=self.folder,  # without a `.env`
                env={**kept, **own, **self.variables},
                stdout=out,
                stderr=out,
            )
        self.stack.push_async_callback(_stop, process)
        return Replica(f"{address}:{self.port}", process, log)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


@asynccontextmanager
async def fleet(folder: Path, **variables: str) -> AsyncIterator[Fleet]:
    """No embedders yet, and a name without addresses."""
    async with asyncio.timeout(PATIENCE), name_server(embedder=[]) as names, AsyncExitStack() as stack:
        yield Fleet(names, common_port(ADDRESSES), folder, variables, stack)


def common_port(addresses: Sequence[str]) -> int:
    """A port that is free on all addresses."""
    while True:
        with socket.socket() as first:
            try:
                first.bind((addresses[0], 0))
            except OSError:
                pytest.skip("no address of loopback but 127.0.0.1 on this system")
            port: int = first.getsockname()[1]
            if all(_is_free(address, port) for address in addresses[1:]):
                return port


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == 99:  # EADDRNOTAVAIL: macOS has 127.0.0.1 only
                pytest.skip(f"no address {address} on this system")
            return False
    return True


async def until(replica: Replica, status: int) -> None:
    """Wait until an embedder reports this health. Says why when it ends before that."""
    reported = asyncio.create_task(_report(replica, status))
    ended = asyncio.create_task(replica.process.wait())
    try:
        await asyncio.wait({reported, ended}, return_when=asyncio.FIRST_COMPLETED)
        assert reported.done(), replica.log.read_text()
        await reported
    finally:
        reported.cancel()
        ended.cancel()
        await asyncio.gather(reported, ended, return_exceptions=True)


async def _report(replica: Replica, status: int) -> None:
    async with grpc.aio.insecure_channel(replica.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        async for response in watch:
            if response.status == status:
                return
    raise AssertionError(f"{replica.address} sends its watchers away:\n{replica.log.read_text()}")


class Caller:
    """Makes calls, and counts those that were answered. Any call that fails is raised."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: rpc.EmbeddingServiceAsyncStub = rpc.EmbeddingServiceStub(channel)
        self.answered = 0

    async def __call__(self, inputs: Sequence[str] = ("a cat sat",)) -> None:
        response = await self._stub.Embed(pb.EmbedRequest(inputs=inputs), timeout=PATIENCE)
        assert len(response.embeddings) == len(inputs)
        self.answered += 1

    async def times(self, count: int, *, callers: int = 1, inputs: Sequence[str] = ("a cat sat",)) -> None:
        """Make `count` calls, `callers` of them at a time."""

        async def some(number: int) -> None:
            for _ in range(number, count, callers):
                await self(inputs)

        await asyncio.gather(*(some(number) for number in range(callers)))

    async def until_all_answer(self, replicas: Sequence[Replica]) -> None:
        """Connections come up one after the other, and calls go out over the first."""
        before = [len(replica.codes()) for replica in replicas]
        while any(len(replica.codes()) == was for replica, was in zip(replicas, before, strict=True)):
            await self()

    async def until_none_goes_to(self, replica: Replica, *, of: int) -> None:
        """Call until two rounds of `of` calls in a row left an embedder out."""
        while True:
            before = await settled([replica])
            await self.times(2 * of)
            if await settled([replica]) == before:
                return


async def shares(caller: Caller, replicas: Sequence[Replica], count: int, *, callers: int) -> list[int]:
    """How many of `count` calls each embedder got."""
    before = await settled(replicas)
    await caller.times(count, callers=callers)
    return [now - was for now, was in zip(await settled(replicas), before, strict=True)]


async def settled(replicas: Sequence[Replica]) -> list[int]:
    """How many calls each has logged, once no more lines come; where others go on calling, after a while."""
    counts: list[int] = []
    for _ in range(10):
        before, counts = counts, [len(replica.codes()) for replica in replicas]
        if counts == before:
            break
        await asyncio.sleep(0.2)
    return counts


@pytest.mark.parametrize("callers", [1, 64])
async def test_embedders_behind_one_name_get_equal_shares(tmp_path: Path, callers: int) -> None:
    async with fleet(tmp_path) as embedders:
        replicas = await embedders.start(*ADDRESSES[:3])
        caller = Caller(await embedders.channel())
        await caller.until_all_answer(replicas)
        got = await shares(caller, replicas, 300, callers=callers)
        assert sum(got) == 300
        assert max(got) - min(got) <= 2


async def test_one_that_says_not_serving_gets_no_new_work_while_it_would_still_take_it(tmp_path: Path) -> None:
    async with fleet(tmp_path, DRAIN_DELAY_SECONDS="60") as embedders:
        replicas = await embedders.start(*ADDRESSES[:3])
        caller = Caller(await embedders.channel(retries=False))
        await caller.until_all_answer(replicas)
        replicas[0].process.send_signal(signal.SIGTERM)
        await until(replicas[0], health_pb2.HealthCheckResponse.NOT_SERVING)
        await caller.until_none_goes_to(replicas[0], of=3)  # our own channel hears of it at about the same time
        got = await shares(caller, replicas, 300, callers=8)
        assert got[0] == 0
        assert max(got[1:]) - min(got[1:]) <= 2
        async with grpc.aio.insecure_channel(replicas[0].address) as straight:
            await Caller(straight)()  # it was free to answer


async def test_sigterm_under_load_fails_no_call_and_finishes_those_in_flight(tmp_path: Path) -> None:
    async with fleet(tmp_path) as embedders:
        replicas = await embedders.start(*ADDRESSES[:3])
        caller = Caller(await embedders.channel(retries=False))  # a retry would hide a call that failed
        await caller.until_all_answer(replicas)
        ended = asyncio.create_task(replicas[0].process.wait())
        over = asyncio.Event()

        async def keep_calling() -> None:
            while not over.is_set():
                await caller(LONG)

        calling = [asyncio.create_task(keep_calling()) for _ in range(12)]
        await caller.until_all_answer(replicas)
        replicas[0].process.send_signal(signal.SIGTERM)
        assert await ended == 0
        got = await shares(caller, replicas, 60, callers=4)
        over.set()
        await asyncio.gather(*calling)
        assert got[0] == 0
        # No call was lost, and none was answered twice.
        assert sum(await settled(replicas)) == caller.answered
        assert {code for replica in replicas for code in replica.codes()} == {"OK"}
        assert replicas[0].says("stopped")
        after = await shares(caller, replicas[1:], 300, callers=64)
        assert max(after) - min(after) <= 2


async def test_sigkill_under_load_fails_no_call_that_may_be_repeated(tmp_path: Path) -> None:
    async with fleet(tmp_path) as embedders:
        replicas = await embedders.start(*ADDRESSES[:3])
        caller = Caller(await embedders.channel())
        await caller.until_all_answer(replicas)
        calling = asyncio.create_task(caller.times(120, callers=12, inputs=LONG))
        await caller.until_all_answer(replicas)
        replicas[0].process.kill()
        await replicas[0].process.wait()
        assert not calling.done()
        await calling
        after = await shares(caller, replicas[1:], 300, callers=64)
        assert max(after) - min(after) <= 2


async def test_a_new_replica_gets_its_share_when_connections_come_of_age(tmp_path: Path) -> None:
    async with fleet(tmp_path, MAX_CONNECTION_AGE_SECONDS="2") as embedders:
        replicas = await embedders.start(*ADDRESSES[:3])
        caller = Caller(await embedders.channel())
        await caller.until_all_answer(replicas)
        known = embedders.names.queries[NAME]
        replicas += await embedders.start(ADDRESSES[3])
        await caller.until_all_answer(replicas)  # no call fails meanwhile
        assert embedders.names.queries[NAME] > known
        # Connections that come of age during the count begin another round.
        got = await shares(caller, replicas, 400, callers=8)
        assert max(got) - min(got) <= 20


async def test_a_replica_that_comes_back_under_another_address_is_found(tmp_path: Path) -> None:
    """What an orchestrator does with a container that died, when it was the only one."""
    async with fleet(tmp_path) as embedders:
        (first,) = await embedders.start(ADDRESSES[0])
        caller = Caller(await embedders.channel())
        await caller()
        first.process.kill()
        await first.process.wait()
        embedders.names.addresses[NAME].clear()
        (second,) = await embedders.start(ADDRESSES[1])
        while not second.codes():
            with contextlib.suppress(grpc.aio.AioRpcError):  # nobody answers at the old address
                await caller()
