"""A server from start to drain, in process and as a process that gets signals."""

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from servicekit.server import PortTakenError, Server
from tests.rpc.servicekit_rig import PATIENCE, Answer, Context, Running, ask, begin, finish, kinds, serve, settings

LONG = 600  # seconds: a test that waited for this would not end


class Held:
    """An `act` that waits until it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.let_go = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, _context: Context) -> str:
        self.entered.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "finished"


async def drained_up_to_the_grace(running: Running) -> "asyncio.Task[None]":
    """Begin a drain and return when the server refuses new calls: it then ends the watches of its health."""
    async with grpc.aio.insecure_channel(running.target) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        draining = asyncio.create_task(running.server.drain())
        await watch.code()
    return draining


@pytest.mark.parametrize("method", ["UnaryUnary", "UnaryStream", "StreamStream"])
async def test_a_call_in_flight_finishes_within_the_grace_and_a_new_one_is_refused(method: str) -> None:
    held = Held()
    async with serve(kinds(held), shutdown_grace_seconds=LONG) as running, asyncio.timeout(PATIENCE):
        in_flight = asyncio.create_task(finish(begin(running.channel(), method)))
        await held.entered.wait()
        draining = await drained_up_to_the_grace(running)

        async with grpc.aio.insecure_channel(running.target) as late:
            refused = await ask(late, "UnaryUnary")
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        assert not draining.done()

        held.let_go.set()
        answer: Answer = await in_flight
        assert (answer.messages[-1], answer.code) == ("finished", grpc.StatusCode.OK)
        await draining


async def test_a_call_that_outlasts_the_grace_is_cancelled() -> None:
    held = Held()
    async with serve(kinds(held), shutdown_grace_seconds=0.1) as running, asyncio.timeout(PATIENCE):
        in_flight = asyncio.create_task(finish(begin(running.channel(), "UnaryUnary")))
        await held.entered.wait()
        await running.server.drain()
        await held.cancelled.wait()
        assert (await in_flight).code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_clients_that_watch_health_do_not_hold_up_the_drain() -> None:
    """Every channel of ours keeps a watch open, which has no end of its own."""

    async def act(_context: Context) -> str:
        return "fine"

    async with serve(kinds(act), shutdown_grace_seconds=LONG) as running, asyncio.timeout(PATIENCE):
        assert (await ask(running.channel(), "UnaryUnary")).messages == ["fine"]
        await running.server.drain()


async def test_a_port_that_is_taken_is_named() -> None:
    async with serve() as first:
        second = Server(settings(), CollectorRegistry(), services=[])
        with pytest.raises(PortTakenError, match=rf"127\.0\.0\.1:{first.port}\b"):
            await second.start(first.port)
        await second.grpc.stop(None)


async def test_an_address_that_is_not_ours_is_named() -> None:
    server = Server(settings(bind_address="192.0.2.1"), CollectorRegistry(), services=[])
    with pytest.raises(PortTakenError, match=r"192\.0\.2\.1:50051"):
        await server.start(50051)
    await server.grpc.stop(None)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback on this machine")
async def test_an_ipv6_address_can_be_listened_on() -> None:
    async def act(_context: Context) -> str:
        return "fine"

    async with (
        serve(kinds(act), bind_address="::1") as running,
        grpc.aio.insecure_channel(f"[::1]:{running.port}") as channel,
    ):
        assert (await ask(channel, "UnaryUnary")).messages == ["fine"]


PROGRAM = """
import asyncio
from prometheus_client import CollectorRegistry
from servicekit.server import Server, run_until_signal
from servicekit.settings import ServiceSettings

def say(*words):
    print(*words, flush=True)

{on_start}

async def main():
    settings = ServiceSettings(_env_file=None, drain_delay_seconds=0, shutdown_grace_seconds=600)
    server = Server(settings, CollectorRegistry(), services=[])
    make_ready = server.set_ready
    async def set_ready(*args):
        await make_ready(*args)
        if args == (True,):
            say("ready")
    server.set_ready = set_ready
    try:
        await run_until_signal(server, 0, on_start=on_start)
    finally:
        say("closed")

asyncio.run(main())
"""

AT_ONCE = """
async def on_start():
    say("starting")
"""

NEVER_READY = """
async def on_start():
    say("starting")
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.2)  # longer than the drain of an idle server
        say("cleaned up")
"""

FAILS_CLEANING_UP = """
async def on_start():
    say("starting")
    try:
        await asyncio.Event().wait()
    finally:
        raise OSError("while cleaning up")
"""

FAILS = """
async def on_start():
    raise RuntimeError("no database")
"""


@asynccontextmanager
async def process(tmp_path: Path, on_start: str) -> AsyncIterator[Process]:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(on_start=on_start))
    started = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", str(script), stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(PATIENCE):
            yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def heard(started: Process, word: str) -> None:
    """Wait until the process says this."""
    assert started.stdout is not None
    while (line := await started.stdout.readline()).strip() != word.encode():
        assert line, f"the process ended without saying {word!r}"


async def ended(started: Process) -> tuple[int | None, str, str]:
    """Exit code, and what it said since."""
    out, err = await started.communicate()
    return started.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_serving_process_with_exit_code_0(tmp_path: Path, number: signal.Signals) -> None:
    async with process(tmp_path, AT_ONCE) as started:
        await heard(started, "ready")
        started.send_signal(number)
        code, out, err = await ended(started)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "closed"


async def test_a_signal_during_the_start_cancels_it_and_lets_it_clean_up(tmp_path: Path) -> None:
    async with process(tmp_path, NEVER_READY) as started:
        await heard(started, "starting")
        started.send_signal(signal.SIGTERM)
        code, out, err = await ended(started)
    assert (code, err) == (0, "")
    assert "ready" not in out.split()
    lines = out.splitlines()
    assert lines.index("cleaned up") < lines.index("closed")


async def test_a_start_that_fails_to_clean_up_does_not_change_the_exit_code(tmp_path: Path) -> None:
    async with process(tmp_path, FAILS_CLEANING_UP) as started:
        await heard(started, "starting")
        started.send_signal(signal.SIGTERM)
        code, _out, err = await ended(started)
    assert (code, err) == (0, "")


async def test_a_start_that_fails_ends_the_process_with_its_exception(tmp_path: Path) -> None:
    async with process(tmp_path, FAILS) as started:
        code, out, err = await ended(started)
    assert code == 1
    assert err.splitlines()[-1] == "RuntimeError: no database"
    assert "ready" not in out.split()
    assert out.splitlines()[-1] == "closed"
