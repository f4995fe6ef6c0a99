"""What the local stack does when things end, well or badly."""

import asyncio
import json
import signal
import socket
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.stack_process import PARTS, StackProcess, all_gone, stack_process

UP = "Trimem is up"


def http_address(stack: StackProcess) -> str:
    line = next(line for line in stack.lines if UP in line)
    return next(word for word in line.split() if word.startswith("http://"))


async def post_event(stack: StackProcess, text: str) -> dict[str, object]:
    request = urllib.request.Request(
        f"{http_address(stack)}/v1/events",
        data=json.dumps({"content": {"text": text}}).encode(),
        headers={"Content-Type": "application/json"},
    )
    return await read_json(request)


async def read_json(request: urllib.request.Request | str) -> dict[str, object]:
    def fetch() -> dict[str, object]:
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, object] = json.load(response)
            return answer

    return await asyncio.to_thread(fetch)


@pytest.mark.parametrize("name", PARTS)
async def test_a_killed_part_ends_the_stack_with_a_message_that_names_it(name: str, tmp_path: Path) -> None:
    async with stack_process("up", tmp_path) as stack:
        await stack.until_printed(UP)
        children = stack.tree()
        assert sorted(stack.parts()) == sorted(PARTS)
        stack.parts()[name].kill()
        await stack.until_printed(f"{name} was killed by SIGKILL", timeout=5)
        assert await stack.until_ended() == 1
        assert await all_gone(children)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_everything_in_order_and_the_data_stays(number: signal.Signals, tmp_path: Path) -> None:
    async with stack_process("up", tmp_path) as stack:
        await stack.until_printed(UP)
        event = await post_event(stack, "the kettle is on the stove")
        children = stack.tree()
        stack.process.send_signal(number)
        assert await stack.until_ended() == 0
        stopped = [line.split()[0] for line in stack.lines if " stopped (" in line]
        assert stopped == ["gateway", "store", "embedder", "postgres"]
        assert await all_gone(children)
    async with stack_process("up", tmp_path) as stack:
        await stack.until_printed(UP)
        assert await read_json(f"{http_address(stack)}/v1/events/{event['id']}") == event


async def test_only_the_store_knows_the_database(tmp_path: Path) -> None:
    async with stack_process("up", tmp_path, DATABASE_URL="") as stack:
        await stack.until_printed(UP)
        informed = {name for name, part in stack.parts().items() if part.environ().get("DATABASE_URL")}
    assert informed == {"store"}


async def test_a_killed_stack_leaves_no_orphan(tmp_path: Path) -> None:
    async with stack_process("up", tmp_path) as stack:
        await stack.until_printed(UP)
        children = stack.tree()
        stack.process.kill()
        await stack.process.wait()
        assert await all_gone(children)


async def test_a_taken_port_is_named_with_its_variable_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        async with stack_process("up", tmp_path, GATEWAY_PORT=port, STORE_PORT=port) as stack:
            assert await stack.until_ended() == 1
    assert f"GATEWAY_PORT={port}" in stack.output
    assert f"STORE_PORT={port}" in stack.output
    assert "postgres is ready" not in stack.output


async def test_one_port_for_two_listeners_is_refused_with_both_variables(tmp_path: Path) -> None:
    async with stack_process("up", tmp_path, GATEWAY_PORT="50999", GATEWAY_HTTP_PORT="50999") as stack:
        assert await stack.until_ended() == 1
    assert "GATEWAY_PORT=50999" in stack.output
    assert "GATEWAY_HTTP_PORT=50999" in stack.output


async def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with stack_process("up", tmp_path / "file" / "data") as stack:
        assert await stack.until_ended() == 1
    assert "TRIMEM_DATA_DIR=" in stack.output
    assert "Traceback" not in stack.output


async def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with stack_process("up", tmp_path, DATABASE_URL_FILE=str(tmp_path / "nothing")) as stack:
        assert await stack.until_ended() == 2
    assert "DATABASE_URL_FILE" in stack.output
    assert "Traceback" not in stack.output


async def test_another_database_is_migrated_beside_a_running_stack(
    tmp_path: Path, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with stack_process("migrate", tmp_path, DATABASE_URL=url, GATEWAY_PORT=port) as migrate:
            assert await migrate.until_ended() == 0, migrate.output
    assert "schema is up to date" in migrate.output
    assert not (tmp_path / "postgres").exists()


async def test_a_second_stack_on_the_same_data_is_refused(tmp_path: Path) -> None:
    async with stack_process("up", tmp_path) as first:
        await first.until_printed("postgres is ready")
        async with stack_process("up", tmp_path) as second:
            assert await second.until_ended() == 1
        assert "another stack runs on" in second.output


async def test_a_service_that_cannot_start_is_named_with_its_reason(tmp_path: Path) -> None:
    async with stack_process("up", tmp_path, EMBEDDING_MODE="nonsense") as stack:
        children = await _children_while_running(stack)
        assert await stack.until_ended() == 1
        assert await all_gone(children)
    assert "embedder exited with status 2" in stack.output
    assert "EMBEDDING_MODE" in stack.output


async def _children_while_running(stack: StackProcess) -> list[psutil.Process]:
    await stack.until_printed("schema is up to date")
    return stack.tree()


async def test_production_without_a_database_is_refused(tmp_path: Path) -> None:
    async with stack_process("up", tmp_path, ENVIRONMENT="production") as stack:
        assert await stack.until_ended() == 2
    assert "DATABASE_URL is required" in stack.output


async def test_migrate_starts_and_stops_the_database_for_itself(tmp_path: Path) -> None:
    async with stack_process("migrate", tmp_path) as stack:
        assert await stack.until_ended() == 0
    assert "schema is up to date" in stack.output
    assert "postgres stopped" in stack.output
    assert not (tmp_path / "postgres" / "data" / "postmaster.pid").exists()
