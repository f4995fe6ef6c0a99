"""What the wheel carries is enough: nothing of the repository is beside it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures_store import DIMENSION

ROOT = Path(__file__).resolve().parents[2]


def run(*argv: str, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    scratch = tmp_path_factory.mktemp("wheel")
    folder, source = scratch / "installed", scratch / "source"
    # A copy: what an earlier build left behind in the repository would get into the wheel.
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(scratch), str(source), cwd=scratch)
    [wheel] = scratch.glob("trimem-*.whl")
    run(*pip, "install", "--quiet", "--no-deps", "--target", str(folder), str(wheel), cwd=scratch)
    return folder


def place_of(module: str, installed: Path) -> Path:
    """The file that a module is imported from."""
    source = f"import {module} as module; print(module.__file__)"
    return Path(run(sys.executable, "-c", source, cwd=installed, PYTHONPATH=str(installed)).strip())


def test_the_store_migrates_from_a_wheel(installed: Path) -> None:
    variables = {
        "PYTHONPATH": str(installed),
        "DATABASE_URL": "postgresql://nowhere/none",
        "EMBEDDING_DIMENSION": str(DIMENSION),
    }

    statements = run(sys.executable, "-m", "store", "migrate", "--sql", cwd=installed, **variables)

    assert place_of("store", installed).is_relative_to(installed)
    assert "CREATE TABLE events" in statements
    assert f"VECTOR({DIMENSION})" in statements


def test_the_command_line_comes_with_a_wheel(installed: Path) -> None:
    output = run(str(installed / "bin" / "trimem"), "--help", cwd=installed, PYTHONPATH=str(installed))
    assert "Remember events and code, and find them again." in output
    for module in ("trimem.client", "trimem.client.cli.keys", "trimem.store.v1.event_service_pb2"):
        assert place_of(module, installed).is_relative_to(installed)
    assert (installed / "trimem" / "client" / "py.typed").exists()
    assert not (installed / "client").exists()


def test_what_the_api_document_is_made_of_comes_with_a_wheel(installed: Path) -> None:
    for name in (
        "trimem/store/v1/event_service.binpb",
        "trimem/embedding/v1/embedding.binpb",
        "gateway/http/openapi/beside.json",
        "gateway/http/openapi/page/page.html",
        "gateway/http/openapi/page/page.js",
        "gateway/http/openapi/page/page.css",
    ):
        assert (installed / name).exists(), name
    assert not list(installed.rglob("baseline.binpb"))
