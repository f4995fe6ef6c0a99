"""Rules of the API that buf does not know, and proof that the checks of the protos notice what they should.

`check` compares with the folder's own stubs and with the released baseline; the tests give it a copy to break.
"""

import importlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import EnumDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from protos import tool

EMBEDDING = "trimem/embedding/v1/embedding.proto"
EVENTS = "trimem/store/v1/event_service.proto"

VERBS_OF_READS = ("Get", "List", "Search", "Embed", "Compute", "Count", "Check", "Traverse", "Find")

PROTOS = sorted(path.relative_to(tool.ROOT) for path in tool.ROOT.glob("trimem/**/*.proto"))


def module_of(proto: Path, suffix: str) -> str:
    return ".".join(proto.with_suffix("").parts) + suffix


def file_descriptors() -> list[FileDescriptor]:
    return [importlib.import_module(module_of(proto, "_pb2")).DESCRIPTOR for proto in PROTOS]


RPCS: list[MethodDescriptor] = [
    method
    for file in file_descriptors()
    for service in file.services_by_name.values()
    for method in service.methods
]  # fmt: skip


def http_rules(method: MethodDescriptor) -> list[tuple[str, str]]:
    """HTTP method and path of an RPC, additional bindings included, without the names of path variables."""
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return []
    rule = options.Extensions[annotations_pb2.http]
    return [
        (each.WhichOneof("pattern"), re.sub(r"\{[^}]*\}", "{}", getattr(each, each.WhichOneof("pattern"))))
        for each in (rule, *rule.additional_bindings)
    ]


def enums() -> Iterator[EnumDescriptor]:
    for file in file_descriptors():
        yield from file.enum_types_by_name.values()
        pending: list[Any] = list(file.message_types_by_name.values())
        while pending:
            message = pending.pop()
            yield from message.enum_types
            pending += message.nested_types


def test_the_services_are_there() -> None:
    assert {"trimem.embedding.v1.EmbeddingService.Embed", "trimem.store.v1.EventService.SearchEvents"} <= {
        method.full_name for method in RPCS
    }


@pytest.mark.parametrize("method", RPCS, ids=lambda method: method.full_name)
def test_every_rpc_for_clients_has_an_http_path_of_this_version(method: MethodDescriptor) -> None:
    version = method.containing_service.file.package.split(".")[-1]
    rules = http_rules(method)
    if "Admin" in method.containing_service.name:  # what operators do is not for clients
        assert not rules
        return
    assert rules
    assert all(path.startswith(f"/{version}/") for _, path in rules)


def test_no_two_rpcs_have_the_same_http_method_and_path() -> None:
    counted = Counter(rule for method in RPCS for rule in http_rules(method))
    assert [rule for rule, times in counted.items() if times > 1] == []


@pytest.mark.parametrize("method", RPCS, ids=lambda method: method.full_name)
def test_reads_and_only_reads_are_marked_as_without_side_effects(method: MethodDescriptor) -> None:
    """The mark decides what clients retry by themselves."""
    marked = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    assert marked == method.name.startswith(VERBS_OF_READS)


@pytest.mark.parametrize("method", RPCS, ids=lambda method: method.full_name)
def test_an_rpc_that_is_http_get_has_no_side_effects(method: MethodDescriptor) -> None:
    if any(verb == "get" for verb, _ in http_rules(method)):
        assert method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS


@pytest.mark.parametrize("enum", list(enums()), ids=lambda enum: enum.full_name)
def test_every_enum_begins_with_unspecified(enum: EnumDescriptor) -> None:
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper()
    assert (enum.values[0].number, enum.values[0].name) == (0, f"{prefix}_UNSPECIFIED")


def test_stubs_import_without_a_warning() -> None:
    modules = [module_of(proto, suffix) for proto in PROTOS for suffix in ("_pb2", "_pb2_grpc")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import " + ", ".join(modules)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder like `protos/`, to break."""
    root = tmp_path / "protos"
    shutil.copytree(tool.ROOT / "trimem", root / "trimem", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(tool.ROOT / "buf.yaml", root / "buf.yaml")
    tool.copy_googleapis(root)
    return root


def edit(root: Path, proto: str, pattern: str, replacement: str) -> None:
    """Replace the one place of a .proto that the pattern matches."""
    path = root / proto
    text, times = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert times == 1, f"{pattern!r} matches {times} times in {proto}"
    path.write_text(text, encoding="utf-8")


def report(root: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """The last line of `check` when it fails, or an empty string."""
    failed = tool.check(root)
    lines = capfd.readouterr().out.splitlines()
    return lines[-1] if failed else ""


def test_the_protos_as_they_stand_pass_every_check(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert report(copy, capfd) == ""


@pytest.mark.parametrize(
    ("proto", "pattern", "replacement"),
    [
        pytest.param(EMBEDDING, r"^  bool cached = 5;\n", "", id="field removed"),
        pytest.param(EMBEDDING, r"bool cached = 5;", "bool cached = 6;", id="field renumbered"),
        pytest.param(EMBEDDING, r"bool cached = 5;", "string cached = 5;", id="type changed"),
        pytest.param(EMBEDDING, r"bool cached = 5;", "bool from_cache = 5;", id="field renamed"),
        pytest.param(EMBEDDING, r"^  DOMAIN_HYBRID = 3;\n", "", id="enum value removed"),
        pytest.param(EMBEDDING, r"^  rpc ListModels\((.*\n){3}  \}\n", "", id="rpc removed"),
        pytest.param(
            EVENTS, r"rpc GetEvent\(GetEventRequest\) returns \(", r"\g<0>stream ", id="rpc made a stream"
        ),
    ],
)  # fmt: skip
def test_a_change_that_breaks_the_wire_is_noticed(
    copy: Path, capfd: pytest.CaptureFixture[str], proto: str, pattern: str, replacement: str
) -> None:
    edit(copy, proto, pattern, replacement)
    assert "breaking" in report(copy, capfd)


def test_a_field_more_does_not_break_the_wire_but_makes_the_stubs_stale(
    copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edit(copy, EMBEDDING, r"^  bool cached = 5;\n", "\\g<0>  // Where it was.\n  bool shared = 6;\n")
    assert report(copy, capfd) == "protos: failed: stubs"
    names = ("embedding.binpb", "embedding_pb2.py", "embedding_pb2.pyi")
    assert tool.stale_stubs(copy) == [f"trimem/embedding/v1/{name}" for name in names]


def test_a_comment_that_changed_makes_what_shows_it_stale(copy: Path) -> None:
    edit(copy, EMBEDDING, r"(// Vector of length 1) \(L2 norm\)", r"\1")
    names = ("embedding.binpb", "embedding_pb2.pyi")
    assert tool.stale_stubs(copy) == [f"trimem/embedding/v1/{name}" for name in names]


def test_a_comment_that_is_missing_is_noticed(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(copy, EMBEDDING, r"^  bool cached = 5;\n", "\\g<0>  bool shared = 6;\n")
    assert "lint" in report(copy, capfd)


def test_a_stub_that_is_missing_or_left_over_is_stale(copy: Path) -> None:
    (copy / "trimem/embedding/v1/embedding_pb2.pyi").unlink()
    (copy / "trimem/embedding/v1/gone_pb2.py").touch()
    assert tool.stale_stubs(copy) == ["trimem/embedding/v1/embedding_pb2.pyi", "trimem/embedding/v1/gone_pb2.py"]
