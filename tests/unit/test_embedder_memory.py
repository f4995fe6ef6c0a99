"""What limits memory, what a model will need, and refusing those that would not fit."""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from embedder.models import memory
from embedder.models.memory import MemoryBudget, MemoryBudgetError, MemoryWatch
from embedder.models.memory_need import need
from servicekit.errors import ResourceExhaustedError

MIB = 2**20
GIB = 2**30


def machine(root: Path, groups: str, **limits: str) -> MemoryWatch:
    """A machine on which this process is in `groups`; `limits` are by file, with `__` for `/`."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for name, limit in limits.items():
        file = root / "cgroup" / name.replace("__", "/").replace("_max", ".max")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit + "\n")
    return MemoryWatch(proc=root / "proc", cgroups=root / "cgroup")


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {"memory_max": "1073741824"}, GIB),
        ("0::/\n", {"memory_max": "max"}, None),
        ("0::/a/b\n", {"a__b__memory_max": "max", "a__memory_max": "1073741824"}, GIB),
        ("0::/a/b\n", {"a__b__memory_max": "2147483648", "a__memory_max": "1073741824"}, GIB),
        ("0::/a/b\n", {"a__b__memory_max": "1073741824", "a__memory_max": "2147483648"}, GIB),
        ("0::/a\n", {"a__memory_max": "max", "other__memory_max": "5"}, None),
        ("0::/of/the/host\n", {"memory_max": "1073741824"}, GIB),
        ("0::/../../of/another\n", {"memory_max": "1073741824"}, GIB),
        ("0::/\n", {"unified__memory_max": "1073741824"}, GIB),
        ("4:memory:/a\n", {"memory__a__memory.limit_in_bytes": "1073741824"}, GIB),
        ("4:cpu,memory:/a\n0::/\n", {"memory__memory.limit_in_bytes": "1073741824"}, GIB),
        ("4:memory:/\n", {"memory__memory.limit_in_bytes": "9223372036854771712"}, None),
        ("4:cpu:/a\n", {"memory__a__memory.limit_in_bytes": "5"}, None),
        ("0::/\n", {}, None),
    ],
    ids=[
        "a container",
        "no limit",
        "limit of the group above",
        "the group above has less",
        "the group itself has less",
        "another group's limit",
        "a path that only the host has",
        "a path outside of the namespace",
        "both versions, limit in the second",
        "version 1",
        "version 1, path that only the host has",
        "version 1 without limit",
        "no memory controller",
        "no files",
    ],
)
def test_the_least_limit_of_all_control_groups_counts(
    tmp_path: Path, groups: str, limits: dict[str, str], expected: int | None
) -> None:
    assert machine(tmp_path, groups, **limits).limit() == expected


def test_a_system_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    assert MemoryWatch(proc=tmp_path, cgroups=tmp_path).limit() is None


def test_resident_memory_is_that_of_this_process() -> None:
    before = MemoryWatch().rss()
    held = b"x" * (64 * MIB)
    assert 60 * MIB < MemoryWatch().rss() - before < 80 * MIB
    assert held


class Using(MemoryWatch):
    """A process that uses `used` bytes of `limited`."""

    def __init__(self, used: int, limited: int | None = None) -> None:
        super().__init__()
        self._used = used
        self._limited = limited

    def rss(self) -> int:
        return self._used

    def limit(self) -> int | None:
        return self._limited


def test_a_model_that_fits_to_the_byte_is_let_in_and_one_that_does_not_is_refused() -> None:
    budget = MemoryBudget(1000 * MIB, Using(400 * MIB))
    with budget.reserved("fits", 600 * MIB):
        pass
    with pytest.raises(MemoryBudgetError):
        budget.reserved("does not", 600 * MIB + 1).__enter__()


def test_the_refusal_says_what_is_needed_used_and_allowed_and_what_to_do() -> None:
    with pytest.raises(ResourceExhaustedError) as caught:
        MemoryBudget(1000 * MIB, Using(400 * MIB)).reserved("owner/name", 700 * MIB).__enter__()
    assert caught.value.reason == "MEMORY_BUDGET"
    assert caught.value.retry_after is None
    message = caught.value.message
    assert message.startswith("model 'owner/name': needs about 700 MB, 400 MB are in use and the budget is 1000 MB")
    assert "raise EMBEDDING_MEMORY_BUDGET_MB" in message


def test_without_a_setting_a_tenth_of_the_control_groups_limit_is_kept_free() -> None:
    budget = MemoryBudget(None, Using(0, limited=1000 * MIB))
    assert budget.budget() == 900 * MIB
    with pytest.raises(MemoryBudgetError, match="raise the limit of the container"):
        budget.reserved("model", 901 * MIB).__enter__()


def test_the_setting_stands_above_the_control_groups_limit() -> None:
    assert MemoryBudget(100 * MIB, Using(0, limited=GIB)).budget() == 100 * MIB


def test_without_setting_and_limit_everything_fits() -> None:
    budget = MemoryBudget(None, Using(0))
    assert budget.budget() is None
    with budget.reserved("model", 2**60):
        pass


def safetensors(path: Path, **tensors: tuple[str, list[int]]) -> None:
    """A file with a true header, and without the tensors that it describes."""
    described: dict[str, Any] = {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in tensors.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **described}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header)


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engines' libraries are there already, so that a need is that of the model alone."""
    for name in ("sentence_transformers", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, sys)


def beyond_nothing(directory: Path, **how: Any) -> int:
    """What a model needs beyond what one without weights does."""
    empty = directory.parent / "empty"
    empty.mkdir(exist_ok=True)
    return need(directory, **how) - need(empty, **how)


@pytest.mark.parametrize(
    ("stored", "precision", "size"),
    [("F32", "fp32", 4), ("F32", "bf16", 2), ("F16", "fp32", 4), ("BF16", "bf16", 2), ("F32", "auto", 4)],
)
@pytest.mark.usefixtures("imported")
def test_weights_count_in_the_precision_that_they_are_loaded_in(
    tmp_path: Path, stored: str, precision: str, size: int
) -> None:
    safetensors(tmp_path / "model" / "model.safetensors", embeddings=(stored, [1000, 64]), bias=(stored, [64]))
    assert beyond_nothing(tmp_path / "model", engine="torch", precision=precision) == 64_064 * size


@pytest.mark.usefixtures("imported")
def test_integers_keep_their_type(tmp_path: Path) -> None:
    safetensors(tmp_path / "model" / "model.safetensors", position_ids=("I64", [1, 512]))
    assert beyond_nothing(tmp_path / "model", engine="torch", precision="bf16") == 512 * 8


@pytest.mark.usefixtures("imported")
def test_all_shards_and_all_modules_count(tmp_path: Path) -> None:
    model = tmp_path / "model"
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "2_Dense/model.safetensors"):
        safetensors(model / name, weight=("F32", [10, 10]))
    assert beyond_nothing(model, engine="torch", precision="fp32") == 3 * 400


@pytest.mark.usefixtures("imported")
def test_of_two_formats_the_one_that_is_loaded_counts(tmp_path: Path) -> None:
    model = tmp_path / "model"
    safetensors(model / "model.safetensors", weight=("F32", [10, 10]))
    (model / "pytorch_model.bin").write_bytes(bytes(5000))
    (model / "model.onnx").write_bytes(bytes(7000))
    assert beyond_nothing(model, engine="torch", precision="fp32") == 400
    (model / "model.safetensors").unlink()
    assert beyond_nothing(model, engine="torch", precision="bf16") == 2500
    assert beyond_nothing(model, engine="onnx", precision="fp32") == 7000


@pytest.mark.usefixtures("imported")
def test_onnx_counts_by_the_file_of_its_precision_and_the_data_beside_it(tmp_path: Path) -> None:
    onnx = tmp_path / "model" / "onnx"
    onnx.mkdir(parents=True)
    for name, size in {"model.onnx": 10, "model.onnx_data": 4000, "model_int8.onnx": 1000}.items():
        (onnx / name).write_bytes(bytes(size))
    assert beyond_nothing(tmp_path / "model", engine="onnx", precision="fp32") == 4010
    assert beyond_nothing(tmp_path / "model", engine="onnx", precision="int8") == 1000
    assert beyond_nothing(tmp_path / "model", engine="onnx", precision="auto") == 4010


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", b"\x04" + bytes(7) + b"nope"])
@pytest.mark.usefixtures("imported")
def test_a_broken_file_is_left_to_the_loader_to_complain_of(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(content)
    assert beyond_nothing(tmp_path / "model", engine="torch", precision="fp32") == 0


@pytest.mark.parametrize(("engine", "module"), [("torch", "torch"), ("onnx", "onnxruntime")])
def test_an_engine_that_is_not_imported_yet_counts(
    tmp_path: Path, engine: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, sys)
    with_it = need(tmp_path, engine=engine, precision="fp32")
    monkeypatch.delitem(sys.modules, module)
    assert need(tmp_path, engine=engine, precision="fp32") > with_it + 10 * MIB


def test_what_reads_a_model_beside_us_counts_in_the_control_group_only(tmp_path: Path) -> None:
    limited = MemoryBudget(None, Using(400 * MIB, limited=1000 * MIB))
    with limited.reserved("fits", 100 * MIB, meanwhile=500 * MIB):
        pass
    with pytest.raises(MemoryBudgetError):
        limited.reserved("does not", 100 * MIB, meanwhile=501 * MIB).__enter__()
    with MemoryBudget(600 * MIB, Using(400 * MIB)).reserved("ours", 100 * MIB, meanwhile=501 * MIB):
        pass


def test_models_are_loaded_one_at_a_time() -> None:
    """Else two could fit that do not fit together."""
    budget, begun = MemoryBudget(1000 * MIB, Using(400 * MIB)), threading.Event()

    def load() -> None:
        with budget.reserved("second", MIB):
            begun.set()

    second = threading.Thread(target=load)
    with budget.reserved("first", MIB):
        second.start()
        assert not begun.wait(0.05)
    assert begun.wait(30)
    second.join()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", lambda _name: pytest.fail("called into a library that is not glibc"))
    memory.map_large_blocks()
    memory.release_memory()
