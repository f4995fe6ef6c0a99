"""What the wheel carries is enough: nothing of the repository is beside it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.fixtures_store import DIMENSION

ROOT = Path(__file__).resolve().parents[2]


def run(*argv: str, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_store_migrates_from_a_wheel(tmp_path: Path) -> None:
    installed, source = tmp_path / "installed", tmp_path / "source"
    # A copy: what an earlier build left behind in the repository would get into the wheel.
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source), cwd=tmp_path)
    [wheel] = tmp_path.glob("trimem-*.whl")
    run(*pip, "install", "--quiet", "--no-deps", "--target", str(installed), str(wheel), cwd=tmp_path)
    variables = {
        "PYTHONPATH": str(installed),
        "DATABASE_URL": "postgresql://nowhere/none",
        "EMBEDDING_DIMENSION": str(DIMENSION),
    }

    found = run(sys.executable, "-c", "import store; print(store.__file__)", cwd=tmp_path, **variables)
    statements = run(sys.executable, "-m", "store", "migrate", "--sql", cwd=tmp_path, **variables)

    assert Path(found.strip()).is_relative_to(installed)
    assert "CREATE TABLE events" in statements
    assert f"VECTOR({DIMENSION})" in statements
