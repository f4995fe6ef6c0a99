"""The targets of the Makefile, as a user calls them. `make test` runs this; `make demo` has tests of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from tests.e2e.stack_process import ENVIRONMENT, all_gone

ROOT = Path(__file__).resolve().parents[2]


async def make(*arguments: str, **variables: str) -> asyncio.subprocess.Process:
    """Start make on the virtual environment that runs the tests."""
    return await asyncio.create_subprocess_exec(
        "make",
        f"VENV={sys.prefix}",
        *arguments,
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


async def test_help_lists_every_target_of_the_contract() -> None:
    process = await make("help")
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0
    listed = {line.split()[1] for line in output.splitlines() if line.startswith("  make ")}
    assert listed >= {"setup", "demo", "run", "test", "check", "bench", "protos", "migrate", "clean", "help"}


async def test_migrate_brings_a_given_database_to_the_newest_schema(
    tmp_path: Path, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()
    process = await make("migrate", DATABASE_URL=url, TRIMEM_DATA_DIR=str(tmp_path))
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    assert "schema is up to date" in output


async def test_run_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    process = await make("run", TRIMEM_DATA_DIR=str(tmp_path))
    assert process.stdout is not None
    async with asyncio.timeout(90):
        while b"Trimem is up" not in (line := await process.stdout.readline()):
            assert line, "ended before it was up"
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
        await process.stdout.read()
        await process.wait()
    assert await all_gone(children)
