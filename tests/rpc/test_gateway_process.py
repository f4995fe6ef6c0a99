"""`python -m gateway` as an operator meets it."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.fixtures_gateway import PATIENCE, Context, Fake, FakeEvents, backend_server, within_patience
from trimem.store.v1 import event_service_pb2, event_service_pb2_grpc


@asynccontextmanager
async def started(*arguments: str, **variables: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, killed at the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        env=os.environ | {"GATEWAY_PORT": "0", "GATEWAY_HTTP_PORT": "0"} | {k: str(v) for k, v in variables.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def outcome(*arguments: str, **variables: Any) -> tuple[int | None, str, list[str]]:
    """Exit code, output, and the lines on standard error that are no log lines."""
    async with started(*arguments, **variables) as process:
        out, err = await within_patience(process.communicate())
        return process.returncode, out.decode(), [line for line in err.decode().splitlines() if line[:1] != "{"]


async def http_port(process: asyncio.subprocess.Process) -> int:
    """The HTTP port, from the log; the gateway is ready then."""
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        async for line in process.stderr:
            entry = json.loads(line)
            if (entry["logger"], entry["event"]) == ("http", "listening"):
                return int(entry["address"].rpartition(":")[2])
    raise AssertionError("it ended before it listened")


async def test_help_lists_every_variable_with_its_meaning_and_default() -> None:
    code, out, _ = await outcome("--help")

    assert code == 0
    assert "STORE_TARGET\n      Where the store is, in the same form [default: 127.0.0.1:50052]" in out
    assert "GATEWAY_HTTP_PORT" in out
    assert "SHUTDOWN_GRACE_SECONDS" in out


async def test_version() -> None:
    code, out, _ = await outcome("--version")

    assert code == 0
    assert out.startswith("trimem gateway ")


async def test_bad_settings_are_named_one_a_line_without_a_traceback() -> None:
    code, _, lines = await outcome(GATEWAY_PORT="many", DEFAULT_DEADLINE_SECONDS=-1)

    assert code == 2
    assert lines == [
        "gateway: GATEWAY_PORT: Input should be a valid integer, unable to parse string as an integer",
        "gateway: DEFAULT_DEADLINE_SECONDS: Input should be greater than 0",
    ]


@pytest.mark.parametrize("variable", ["GATEWAY_PORT", "GATEWAY_HTTP_PORT"])
async def test_a_taken_port_is_said_in_the_last_line(variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, lines = await outcome(**{variable: port})

    assert code == 1
    # gRPC itself may have said something before.
    assert lines[-1] == f"gateway: cannot listen on 127.0.0.1:{port}: the port is taken, or the address is not ours"


async def test_two_gateways_cannot_share_a_port() -> None:
    async with started() as first:
        port = await http_port(first)
        code, _, _ = await outcome(GATEWAY_HTTP_PORT=port)

    assert code == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_requests_in_flight_finish_and_ends_with_0(number: signal.Signals) -> None:
    working, finish = asyncio.Event(), asyncio.Event()

    async def act(_request: Any, _context: Context) -> Any:
        working.set()
        await finish.wait()
        return event_service_pb2.ListEventsResponse(next_page_token="done")

    servicer = FakeEvents(Fake(act))
    async with (
        backend_server(
            add=lambda server: event_service_pb2_grpc.add_EventServiceServicer_to_server(servicer, server)
        ) as (_, target),
        started(STORE_TARGET=target, DRAIN_DELAY_SECONDS=0) as process,
        aiohttp.ClientSession(f"http://127.0.0.1:{await http_port(process)}") as client,
    ):
        asking = asyncio.create_task(_token(client))
        await within_patience(working.wait())
        process.send_signal(number)
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while json.loads(await process.stderr.readline())["event"] != "draining":
                pass
        finish.set()
        assert await within_patience(asking) == "done"
        assert await within_patience(process.wait()) == 0


async def _token(client: aiohttp.ClientSession) -> Any:
    async with client.get("/v1/events") as response:
        return (await response.json())["next_page_token"]
