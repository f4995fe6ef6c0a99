"""The sync client is made of the async one."""

import inspect
import subprocess
import sys
from pathlib import Path

from trimem.client import AsyncTrimemClient, TrimemClient

ROOT = Path(__file__).resolve().parents[2]


def test_the_sync_client_is_what_the_async_one_gives() -> None:
    command = [sys.executable, str(ROOT / "client/generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_both_clients_have_the_same_methods() -> None:
    def methods(cls: type) -> dict[str, list[str]]:
        return {
            name.replace("aclose", "close").replace("__a", "__"): list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(cls, inspect.isfunction)
        }

    assert methods(TrimemClient) == methods(AsyncTrimemClient)


def test_nothing_async_is_left_in_the_sync_client() -> None:
    files = sorted((ROOT / "client/trimem/client").glob("sync*.py"))
    assert len(files) == 4
    for file in files:
        text = file.read_text()
        assert not [word for word in ("async", "await", "Async", "aclos", "aio") if word in text], file.name


def test_the_client_needs_neither_the_command_line_nor_a_service() -> None:
    unwanted = ["typer", "rich", "pathspec", "numpy", "pydantic", "structlog", "servicekit", "gateway", "store"]
    source = f"import sys, trimem.client; print(sorted(set({unwanted}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_extra_the_command_says_what_to_install() -> None:
    source = "import sys; sys.modules['typer'] = None; from trimem.client.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "trimem: the command comes with an extra: pip install 'trimem[client]'\n"


def test_the_command_needs_no_more_than_its_extra() -> None:
    unwanted = ["aiohttp", "numpy", "structlog", "pydantic_settings", "prometheus_client", "store", "torch"]
    source = f"import sys, trimem.client.cli.app; print(sorted(set({unwanted}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
