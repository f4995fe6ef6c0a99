"""Generate, lint and compare the protos. Run by `make protos` and `make check`.

    python protos/tool.py generate   write stubs and descriptors next to the .proto files, and format those
    python protos/tool.py check      fail if a stub is stale, a proto is ill-formed or uncommented, or the wire breaks
    python protos/tool.py release    make the present protos the baseline that `check` compares the wire with

Stubs are generated with the oldest grpcio-tools that we support, because generated code runs on that version of
grpcio and protobuf and on newer ones. It lives in a virtual environment of its own: it needs an older protobuf
than the services run on.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from google.rpc import status_pb2

ROOT = Path(__file__).resolve().parent
TOOLS = ROOT.parent / ".venv-protos"
TOOL_PINS = ["grpcio-tools==1.74.0", "protobuf==6.33.6", "mypy-protobuf==5.1.0", "types-protobuf==7.35.1.20260906"]
GOOGLEAPIS = [
    "google/api/annotations.proto",
    "google/api/field_behavior.proto",
    "google/api/http.proto",
    "google/rpc/status.proto",
]
BASELINE = ROOT / "baseline.binpb"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["generate", "check", "release"])
    command = parser.parse_args().command
    copy_googleapis()
    if command == "generate":
        buf("format", "-w", "--path", "trimem")
        generate(ROOT, ROOT)
        return 0
    if command == "release":
        buf("build", "-o", str(BASELINE))
        return 0
    return check()


def check(root: Path = ROOT) -> int:
    """Run every check, also after one failed, so that one run shows all there is to mend."""
    failed = [
        name
        for name, args in {
            "lint": ["lint"],
            "format": ["format", "-d", "--exit-code", "--path", "trimem"],
            "breaking": ["breaking", "--against", str(BASELINE), "--exclude-imports"],
        }.items()
        if buf(*args, root=root, check=False) != 0
    ]
    stale = stale_stubs(root)
    if stale:
        failed.append("stubs")
        print("stale stubs, run `make protos`:", *stale, sep="\n  ", file=sys.stderr)
    print("protos:", f"failed: {', '.join(failed)}" if failed else "lint, format, wire and stubs are fine")
    return 1 if failed else 0


def stale_stubs(root: Path = ROOT) -> list[str]:
    """Return the generated files that differ from what the .proto files give, missing and left-over ones included."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(root, fresh)
        patterns = ("trimem/**/*_pb2*.py*", "trimem/**/*.binpb")
        names = {str(p.relative_to(base)) for base in (root, fresh) for pattern in patterns for p in base.glob(pattern)}
        names = {name for name in names if "__pycache__" not in name}
        return sorted(
            name
            for name in names
            if not ((root / name).exists() and (fresh / name).exists())
            or not filecmp.cmp(root / name, fresh / name, shallow=False)
        )


def generate(root: Path, out: Path) -> None:
    """Write messages, typed messages, stubs and typed stubs of every .proto file of `root` below `out`.

    And its descriptor with its comments, which the stubs leave out: the OpenAPI document shows them.
    """
    python = tool_environment()
    protos = sorted(str(p.relative_to(root)) for p in root.glob("trimem/**/*.proto"))
    subprocess.run(
        [
            str(python), "-m", "grpc_tools.protoc", "-I.", "-I.googleapis",
            f"--python_out={out}", f"--grpc_python_out={out}",
            f"--mypy_out=quiet:{out}", f"--mypy_grpc_out=quiet:{out}",
            *protos,
        ],
        cwd=root,
        env={**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        check=True,
    )  # fmt: skip
    for proto in protos:
        target = (out / proto).with_suffix(".binpb")
        subprocess.run(
            [
                str(python), "-m", "grpc_tools.protoc", "-I.", "-I.googleapis",
                "--include_source_info", f"--descriptor_set_out={target}", proto,
            ],
            cwd=root,
            check=True,
        )  # fmt: skip


def tool_environment() -> Path:
    """Make the generator's virtual environment when it is not there yet, or has other pins. Returns its python."""
    python = TOOLS / "bin" / "python"
    stamp = TOOLS / "pins.txt"
    if stamp.exists() and stamp.read_text() == "\n".join(TOOL_PINS):
        return python
    venv.create(TOOLS, clear=True, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *TOOL_PINS], check=True)
    stamp.write_text("\n".join(TOOL_PINS))
    return python


def copy_googleapis(root: Path = ROOT) -> None:
    """Put google's protos where buf and protoc look: buf would otherwise fetch them from its registry."""
    package = Path(status_pb2.__file__).parents[2]
    for name in GOOGLEAPIS:
        target = root / ".googleapis" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / name, target)


def buf(*args: str, root: Path = ROOT, check: bool = True) -> int:
    """Run buf in a folder of protos and return its exit status."""
    executable = Path(sys.executable).parent / "buf"
    return subprocess.run([str(executable), *args], cwd=root, check=check).returncode


if __name__ == "__main__":
    sys.exit(main())
