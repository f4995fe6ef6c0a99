"""`trimem code` as people and scripts run it, on the whole stack with the real model."""

import asyncio
import json
import os
import signal
import uuid
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from tests.e2e.test_command_line import CommandLine
from tests.fixtures_client_command_line import Terminal
from trimem.client import AsyncTrimemClient

UPLOADS = '''"""Uploads of files."""

import time

from store import save


class Uploader:
    """Sends files to a server."""

    def send(self, file):
        """Send a file."""
        return self.retry(lambda: save(file))

    def retry(self, attempt):
        """Try again after a failure, a little later each time."""
        for pause in (1, 2, 4):
            try:
                return attempt()
            except OSError:
                time.sleep(pause)


def main():
    Uploader().send("a.txt")
'''
STORE = '''"""Where files are kept."""


def save(file):
    """Write a file into the store."""
    with open(file, "wb") as out:
        out.write(b"")
'''
FORMAT = """package text

// Reverse returns the characters of a string in the opposite order.
func Reverse(s string) string {
\trunes := []rune(s)
\tfor i, j := 0, len(runes)-1; i < j; i, j = i+1, j-1 {
\t\trunes[i], runes[j] = runes[j], runes[i]
\t}
\treturn string(runes)
}
"""

CIRCLES = """def factorial(n):
    return n * factorial(n - 1) if n else 1


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)
"""


@pytest.fixture
def trimem(stack: Stack) -> CommandLine:
    return CommandLine(stack)


@pytest.fixture
def terminal(stack: Stack, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Without a process for each command."""
    return Terminal(stack.address("GATEWAY_PORT"), capsys)


@pytest.fixture
def name() -> str:
    """A repository of one test."""
    return f"test/{uuid.uuid4().hex}"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder with code in two languages, a link out of it, and things that do not belong there."""
    files = {"uploads.py": UPLOADS, "store.py": STORE, "text/format.go": FORMAT, ".gitignore": "*.log\n", "x.log": "x"}
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "index.js").write_text("module.exports = 1")
    (tmp_path / "hosts").symlink_to("/etc/hosts")
    return tmp_path


async def test_code_is_indexed_found_and_followed(terminal: Terminal, top: Path, name: str) -> None:
    first = (await terminal("index", str(top), "-r", name, "--json")).document()
    assert (first["stored"], first["unchanged"], first["failed"]) == (4, 0, 0)
    assert first["embedded"] == first["chunks"] > 0
    assert first["skipped"] == {"ignored by git": 1, "symbolic link": 1, "vendored": 1}
    again = (await terminal("index", str(top), "-r", name, "--json")).document()
    assert (again["stored"], again["unchanged"], again["embedded"]) == (0, 4, 0)
    assert (again["nodes"], again["edges"]) == (first["nodes"], first["edges"])

    search = ("search", "-r", name, "-n", "1", "--json")
    for query, symbol in {
        "where do we try again after a failure?": "Uploader.retry",
        "turn a text around": "Reverse",
        "save": "save",
        "for pause in (1, 2, 4)": "Uploader.retry",
    }.items():
        [hit] = (await terminal(*search, query)).document()["hits"]
        assert symbol in hit["chunk"]["symbols"], query
    [hit] = (await terminal(*search, "reverse", "--language", "go", "--kind", "function")).document()["hits"]
    assert hit["chunk"]["path"] == "text/format.go"
    shown = await terminal("search", "-r", name, "-n", "1", "try again after a failure")
    assert "uploads.py:" in shown.output
    assert "\x1b" not in shown.output

    callers = await terminal("callers", "save", "-r", name, "--depth", "3")
    assert callers.output.splitlines() == [
        f"store.save  function store.py:4  {name}",
        "  uploads.Uploader.send  uploads.py:13  resolved",
        "    uploads.main  uploads.py:25  resolved",
    ]
    graph = await terminal("graph", "Uploader.send", "-r", name, "--format", "mermaid")
    assert graph.output.startswith("flowchart LR\n")
    assert "uploads.Uploader.retry" in graph.output


async def test_who_calls_in_circles_is_a_caller(terminal: Terminal, tmp_path: Path, name: str) -> None:
    (tmp_path / "m.py").write_text(CIRCLES)
    await terminal("index", str(tmp_path), "-r", name)
    callers = ("callers", "-r", name)
    assert (await terminal(*callers, "factorial")).output.splitlines() == [
        f"m.factorial  function m.py:1  {name}",
        "  m.factorial  m.py:2  resolved",
    ]
    assert (await terminal(*callers, "even", "--depth", "1")).output.splitlines()[1:] == ["  m.odd  m.py:10  resolved"]
    assert (await terminal(*callers, "even", "--depth", "3")).output.splitlines()[1:] == [
        "  m.odd  m.py:10  resolved",
        "    m.even  m.py:6  resolved",
    ]
    graph = ("graph", "-r", name, "--edges", "calls", "--direction")
    assert (await terminal(*graph, "out", "factorial")).output.splitlines()[1:] == ["  -> calls m.factorial  m.py:1"]
    assert (await terminal(*graph, "both", "even")).output.splitlines()[1:] == ["  -> calls m.odd  m.py:9"]


async def test_changes_deletions_and_the_end_of_a_repository(terminal: Terminal, top: Path, name: str) -> None:
    await terminal("index", str(top), "-r", name)
    (top / "store.py").write_text(STORE.replace("def save", "def keep"))
    (top / "text" / "format.go").unlink()
    changed = (await terminal("index", str(top), "-r", name, "--json")).document()
    assert (changed["stored"], changed["unchanged"], changed["deleted"]) == (1, 2, 1)
    listed = await terminal("files", name, "--json")
    assert [json.loads(line)["path"] for line in listed.output.splitlines()] == [".gitignore", "store.py", "uploads.py"]
    assert (await terminal("callers", "keep", "-r", name)).output.endswith("no callers are known\n")
    assert name in (await terminal("list")).output
    assert (await terminal("delete", name, "--yes")).status == 0
    assert (await terminal("delete", name, "--yes")).status == 3
    assert (await terminal("callers", "keep", "-r", name)).status == 3


async def test_files_that_nobody_would_write(trimem: CommandLine, tmp_path: Path, name: str) -> None:
    files = {
        "broken.py": b"def f(:\n  class\n\t)))\n" * 20,
        "crlf.py": b"\xef\xbb\xbfdef f():\r\n\treturn 1\r\n",
        "latin.py": b"# caf\xe9\ndef latin():\n    return 1\n",
        "empty.py": b"",
        "line.js": b"var x=" + b"[1,2,3]," * 20_000 + b"0;",
        "back\\slash.py": b"x = 1\n",
        "new\nline.py": b"x = 1\n",
        os.fsdecode(b"\xff.py"): b"x = 1\n",
    }
    for path, content in files.items():
        (tmp_path / path).write_bytes(content)
    ended = await trimem("code", "index", str(tmp_path), "-r", name, "--json")
    assert ended.status == 1
    document = json.loads(ended.output)
    assert document["stored"] == 5
    assert {one["path"] for one in document["problems"]} == {"back\\slash.py", "new\nline.py", "\\xff.py"}
    assert "latin.py" in {one["path"] for one in document["notes"]}
    assert len(ended.problems.splitlines()) == 3


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
async def test_a_run_that_is_ended_goes_on(
    trimem: CommandLine, tmp_path: Path, name: str, sent: signal.Signals, status: int
) -> None:
    for number in range(300):
        (tmp_path / f"{number}.py").write_text(f"def function_{number}():\n    return {number}\n")
    process = await trimem.start("code", "index", str(tmp_path), "-r", name)
    async with AsyncTrimemClient(trimem.environment["TRIMEM_URL"]) as client, asyncio.timeout(60):
        while not [file async for file in client.list_files(name)]:
            await asyncio.sleep(0.01)
    process.send_signal(sent)
    _output, problems = await process.communicate()
    assert process.returncode == status
    assert b"Traceback" not in problems
    again = (await trimem("code", "index", str(tmp_path), "-r", name, "--json")).document()
    assert again["stored"] + again["unchanged"] == 300
    assert again["unchanged"] > 0
    assert again["stored"] > 0


async def test_the_shell_completes_commands_of_code(trimem: CommandLine) -> None:
    offered = await trimem(_TRIMEM_COMPLETE="complete_bash", COMP_WORDS="trimem code c", COMP_CWORD="2")
    assert offered.output.split() == ["callers"]
