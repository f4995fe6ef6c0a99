"""`python -m gateway` as an operator meets it."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.auth.scopes import Scope
from tests.fixtures_gateway import NOWHERE, PATIENCE, Context, Fake, FakeEvents, backend_server, within_patience
from tests.fixtures_keys import add_key, bearer
from trimem.client.cli.app import run as command_line
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


async def lines_until_ready(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """The lines of the log; the last one says where HTTP is."""
    assert process.stderr is not None
    entries = []
    async with asyncio.timeout(PATIENCE):
        async for line in process.stderr:
            entries.append(json.loads(line))
            if (entries[-1]["logger"], entries[-1]["event"]) == ("http", "listening"):
                return entries
    raise AssertionError("it ended before it listened")


async def http_port(process: asyncio.subprocess.Process) -> int:
    """The HTTP port, from the log; the gateway is ready then."""
    address: str = (await lines_until_ready(process))[-1]["address"]
    return int(address.rpartition(":")[2])


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


async def test_production_does_not_start_without_keys() -> None:
    code, _, lines = await outcome(ENVIRONMENT="production")

    assert code == 2
    assert lines == ["gateway: API_KEYS_FILE is required when ENVIRONMENT=production: see `trimem keys --help`"]


@pytest.mark.parametrize(("text", "problem"), [(None, "No such file or directory"), ("{", "is not JSON")])
async def test_a_file_of_keys_that_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, text: str | None, problem: str
) -> None:
    path = tmp_path / "keys.json"
    if text is not None:
        path.write_text(text)

    assert await outcome(API_KEYS_FILE=path) == (1, "", [f"gateway: {path}: {problem}"])


async def test_elsewhere_one_line_at_the_start_says_that_anybody_may_call() -> None:
    async with started() as process:
        warnings = [entry for entry in await lines_until_ready(process) if entry["level"] == "warning"]

    assert len(warnings) == 1
    assert warnings[0]["event"].startswith("API_KEYS_FILE is not set: anybody")


async def test_a_key_opens_the_gateway_and_names_itself_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    token = add_key(path, "prometheus", Scope.METRICS)
    async with started(ENVIRONMENT="production", API_KEYS_FILE=path, LOG_LEVEL="DEBUG") as process:
        url = f"http://127.0.0.1:{await http_port(process)}/metrics"
        async with aiohttp.ClientSession() as client:
            async with client.get(url) as response:
                assert response.status == 401
            async with client.get(url, headers=bearer(token)) as response:
                assert response.status == 200
                assert 'trimem_gateway_refusals_total{reason="missing"} 1.0' in await response.text()
        process.send_signal(signal.SIGTERM)
        _, err = await within_patience(process.communicate())

    entries = [json.loads(line) for line in err.decode().splitlines()]
    requests = [(entry["code"], entry.get("key")) for entry in entries if entry["event"] == "http"]
    assert requests == [(401, None), (200, "prometheus")]
    assert token not in err.decode()


async def test_a_key_of_the_command_line_works_until_the_command_line_revokes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the gateway running throughout, and no store behind it: 503 is what somebody who may read is told."""
    file = ("--file", str(tmp_path / "keys.json"))
    assert command_line(["keys", "create", "operator", "--scope", "metrics", *file]) == 0
    async with (
        started(ENVIRONMENT="production", API_KEYS_FILE=file[1], STORE_TARGET=NOWHERE) as process,
        aiohttp.ClientSession(f"http://127.0.0.1:{await http_port(process)}") as client,
    ):

        async def status() -> int:
            async with client.get("/v1/events/x", headers=bearer(token)) as response:
                return response.status

        capsys.readouterr()
        assert command_line(["keys", "create", "reader", "--scope", "read", *file]) == 0
        token = capsys.readouterr().out.strip()
        async with asyncio.timeout(PATIENCE):
            while await status() != 503:
                await asyncio.sleep(0.05)
        assert command_line(["keys", "revoke", "reader", *file]) == 0
        async with asyncio.timeout(PATIENCE):
            while await status() != 401:
                await asyncio.sleep(0.05)
