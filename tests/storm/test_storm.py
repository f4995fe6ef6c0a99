"""Two hundred clients, backends that are killed and come back, and a gateway that goes on as if nothing had been.

Everything that the gateway has in front of a call is on: TLS, keys, and limits that nobody reaches.

`make test` runs a short storm, `make test-storm` one of two minutes: STORM_SECONDS.
"""

import asyncio
import os
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from deploy.local.process import Part, Process
from gateway.auth.scopes import Scope
from tests.crash.cluster import Cluster, running_cluster
from tests.fixtures_keys import add_key
from tests.fixtures_tls import Authority
from tests.storm.clients import CANCELLED, OK, Door, Ended, Storm
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc

SECONDS = float(os.environ.get("STORM_SECONDS", "6"))
CLIENTS = 200
VICTIMS = ("store", "embedder")

#: A shorter storm ends before allocators and pools have filled: its memory says nothing.
_TELLING_SECONDS = 60
_WARM_UP, _GROWTH = 0.3, 1.1
#: From when a backend says SERVING until the gateway must have found it: its pauses between attempts are 3 s at most,
#: and after that it asks for health.
_FOUND_SECONDS = 6
#: What gRPC calls the threads of its own pool. It grows with the load, and when it shrinks again is its own affair:
#: they are left out, so that all others can be counted strictly.
_GRPC_POOL = "event_engine"
PATIENCE = 90

_LIMITS = (
    "RATE_LIMIT_REQUESTS_PER_SECOND",
    "RATE_LIMIT_BURST",
    "RATE_LIMIT_TEXTS_PER_SECOND",
    "RATE_LIMIT_TEXTS_BURST",
    "RATE_LIMIT_ADDRESS_REQUESTS_PER_SECOND",
    "RATE_LIMIT_ADDRESS_BURST",
)


@dataclass(frozen=True, slots=True)
class Gap:
    """When a backend was away."""

    killed: float
    healthy: float

    def excuses(self, call: Ended) -> bool:
        """Whether the backend was away, or not found yet, during the call."""
        return call.ended >= self.killed and call.began <= self.healthy + _FOUND_SECONDS


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds on to."""

    files: int
    #: Without those of gRPC's pool.
    threads: int
    pool: int

    @classmethod
    def of(cls, process: psutil.Process) -> "Holdings":
        """Now."""
        names = []
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            with suppress(OSError):  # it has ended
                names.append((thread / "comm").read_text().strip())
        pool = names.count(_GRPC_POOL)
        return cls(process.num_fds(), len(names) - pool, pool)


@pytest.mark.timeout(SECONDS + 170)
async def test_two_hundred_clients_see_only_unavailable_while_a_backend_is_away() -> None:
    # Not below pytest's own temporary folder, which another session of pytest closes to the user of the database.
    with TemporaryDirectory(prefix="trimem-storm-") as folder:
        await the_storm(Path(folder))


async def the_storm(folder: Path) -> None:
    """The storm, what came of it, and what is left."""
    async with running_cluster(folder) as cluster:
        try:
            async with running_gateway(cluster, folder) as (gateway, door):
                storm = Storm(door, await filled(door))
                await small_storm(storm)
                before = await settled(gateway, door)
                sizes, gaps = await rage(storm, cluster, gateway)
                after = await settled(gateway, door)
                answered = await codes_answered(door)
        except BaseException:
            print(*cluster.log[-120:], sep="\n")  # noqa: T201 - what led to the failure
            raise
    report(storm, sizes, gaps, before, after)
    judge(storm.calls, gaps)
    assert answered <= {"OK", "CANCELLED", "UNAVAILABLE", "200", "499", "503"}
    assert after.files <= before.files, "file descriptors are left behind"
    assert after.threads <= before.threads, "threads are left behind"
    if SECONDS >= _TELLING_SECONDS:
        assert growth(sizes) <= _GROWTH, "memory grows"


@asynccontextmanager
async def running_gateway(cluster: Cluster, folder: Path) -> AsyncIterator[tuple[psutil.Process, Door]]:
    """The gateway in front of the cluster: its process, and the way in."""
    ports = [free_port(), free_port()]
    authority = Authority.make(folder, "authority")
    pair = authority.issue("gateway")
    keys = folder / "keys.json"
    address, http_address = f"127.0.0.1:{ports[0]}", f"https://127.0.0.1:{ports[1]}"
    door = Door(address, http_address, authority.ca.cert_pem.bytes(), add_key(keys, "storm", *Scope))
    environment = {
        **os.environ,
        "API_KEYS_FILE": str(keys),
        "BIND_ADDRESS": "127.0.0.1",
        "DRAIN_DELAY_SECONDS": "0",
        "ENVIRONMENT": "test",
        "GATEWAY_PORT": str(ports[0]),
        "GATEWAY_HTTP_PORT": str(ports[1]),
        "TLS_CERT_FILE": str(pair.certificate),
        "TLS_KEY_FILE": str(pair.key),
        **dict.fromkeys(_LIMITS, "1000000"),
        **{f"{name.upper()}_TARGET": f"127.0.0.1:{cluster.ports[name]}" for name in VICTIMS},
    }
    process = Process(Part("gateway", [sys.executable, "-m", "gateway"], environment), cluster.keep)
    await process.start()
    try:
        for service in ("trimem.store.v1.EventService", "trimem.embedding.v1.EmbeddingService"):
            await until_serving(door.channel(), service)
        yield psutil.Process(process.pid), door
    finally:
        await process.stop()


async def small_storm(storm: Storm) -> None:
    """So that the gateway has opened what it keeps open."""
    ending = asyncio.get_running_loop().call_later(2, storm.over.set)
    await storm.run(20)
    ending.cancel()
    assert {call.code for call in storm.calls} <= {OK, CANCELLED}, Counter(call.code for call in storm.calls)
    storm.calls.clear()
    storm.over.clear()


async def rage(storm: Storm, cluster: Cluster, gateway: psutil.Process) -> tuple[list[int], list[Gap]]:
    """All clients for SECONDS, and each backend killed and started once in equal parts of that."""
    sizes: list[int] = []
    gaps: list[Gap] = []

    async def weigh() -> None:
        while True:
            sizes.append(gateway.memory_info().rss)
            await asyncio.sleep(0.2)

    weighing = asyncio.create_task(weigh())
    raging = asyncio.create_task(storm.run(CLIENTS))
    try:
        for victim in VICTIMS:
            await asyncio.sleep(SECONDS / (len(VICTIMS) + 1))
            killed = time.monotonic()
            await cluster.kill(victim)
            await asyncio.sleep(1)
            await cluster.start(victim)
            await until_serving(grpc.aio.insecure_channel(f"127.0.0.1:{cluster.ports[victim]}"), "")
            gaps.append(Gap(killed, time.monotonic()))
        await asyncio.sleep(max(SECONDS / (len(VICTIMS) + 1), _FOUND_SECONDS + 2))
        storm.over.set()
        async with asyncio.timeout(PATIENCE):
            await raging
    finally:
        for task in (weighing, raging):
            task.cancel()
        await asyncio.gather(weighing, raging, return_exceptions=True)
    return sizes, gaps


def judge(calls: list[Ended], gaps: list[Gap]) -> None:
    """Every call ended well, or was given up by its client, or met a gap and says so."""
    surprises = [
        call
        for call in calls
        if call.code not in (OK, CANCELLED) and not (call.is_unavailable and any(gap.excuses(call) for gap in gaps))
    ]
    assert surprises == [], Counter((call.kind, call.code, call.message) for call in surprises).most_common(10)
    assert any(call.is_unavailable for call in calls), "no call met a gap: the storm proves nothing"
    last = max(gap.healthy for gap in gaps) + _FOUND_SECONDS
    kinds = {call.kind for call in calls if "given up" not in call.kind}
    recovered = {call.kind for call in calls if call.code == OK and call.began > last}
    assert recovered >= kinds, f"never again: {kinds - recovered}"


async def settled(gateway: psutil.Process, door: Door) -> Holdings:
    """What the gateway holds on to when nobody calls any more: first all of its calls have to end."""
    async with asyncio.timeout(PATIENCE):
        while await in_flight(door):
            await asyncio.sleep(0.1)
        holdings = Holdings.of(gateway)
        for _ in range(10):  # connections take a moment to be gone
            await asyncio.sleep(0.2)
            now = Holdings.of(gateway)
            holdings = Holdings(min(now.files, holdings.files), min(now.threads, holdings.threads), now.pool)
    return holdings


async def in_flight(door: Door) -> float:
    """How many calls the gateway says are running."""
    return sum(sample.value for sample in await samples(door) if sample.name == "trimem_rpc_in_flight")


async def codes_answered(door: Door) -> set[str]:
    """What the gateway says that it ever answered, over gRPC and over HTTP."""
    names = ("trimem_rpc_seconds_count", "trimem_http_seconds_count")
    return {sample.labels["code"] for sample in await samples(door) if sample.name in names}


async def samples(door: Door) -> list[Sample]:
    """The metrics of the gateway."""
    async with door.session() as session, session.get("/metrics") as response:
        text = await response.text()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


async def filled(door: Door) -> list[str]:
    """Store some events and return their ids."""
    async with door.channel() as channel:
        stub: rpc.EventServiceAsyncStub = rpc.EventServiceStub(channel)
        request = pb.BatchCreateEventsRequest()
        for number in range(50):
            request.requests.add().event.content.update({"text": f"lantern number {number}"})
        answer = await stub.BatchCreateEvents(request, **door.options())
    return [result.event.id for result in answer.results]


async def until_serving(channel: grpc.aio.Channel, service: str) -> None:
    """Wait until health says so, and close the channel."""
    async with asyncio.timeout(PATIENCE), channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        while True:
            try:
                answer = await stub.Check(request, timeout=1, wait_for_ready=True)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.aio.AioRpcError:
                pass
            await asyncio.sleep(0.05)


def growth(sizes: list[int]) -> float:
    """Memory at the end over memory after the warm-up."""
    tenth = max(1, len(sizes) // 10)
    start = int(len(sizes) * _WARM_UP)
    return statistics.median(sizes[-tenth:]) / statistics.median(sizes[start : start + tenth])


def report(storm: Storm, sizes: list[int], gaps: list[Gap], before: Holdings, after: Holdings) -> None:
    """The result of a long run."""
    codes = Counter(call.code for call in storm.calls)
    away = ", ".join(f"{gap.healthy - gap.killed:.1f} s" for gap in gaps)
    print(  # noqa: T201 - the result of a long run
        f"{len(storm.calls)} calls of {CLIENTS} clients in {SECONDS:g} s: {dict(codes)}; away: {away}; "
        f"memory {sizes[0] / 2**20:.0f} MB, {max(sizes) / 2**20:.0f} MB at most, "
        f"{(growth(sizes) - 1) * 100:+.1f} % after the warm-up; before {before}, after {after}"
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
