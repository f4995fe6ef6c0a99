"""What loading a model costs in memory, measured in processes that do nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures_embedder import MINILM

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="anonymous memory is read from /proc")

MIB = 2**20

#: Samples the anonymous memory of the process while the model loads: mapped files are the page cache's, and are there
#: for all. The garbage collector rests, as it does when the embedder loads.
_LOAD = """
import gc, json, sys, threading
from pathlib import Path

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

from embedder.models.memory import map_large_blocks, release_memory
map_large_blocks()
import embedder.models.torch_engine as engine
engine.TorchEngine(Path(sys.argv[1]), name="warm-up", device="cpu", precision=sys.argv[3])  # libraries, threads, pools
gc.collect()
gc.disable()
release_memory()
before, peak, over = anonymous(), 0, threading.Event()

def watch():
    global peak
    while not over.wait(0.001):
        peak = max(peak, anonymous())

watching = threading.Thread(target=watch)
watching.start()
loaded = engine.TorchEngine(Path(sys.argv[2]), name="model", device="cpu", precision=sys.argv[3])
over.set()
watching.join()
release_memory()
print(json.dumps({"peak": peak - before, "after": anonymous() - before, "weights": loaded.info.weight_bytes}))
"""

_RELEASE = """
import json
import numpy as np
from embedder.models.memory import MemoryWatch, release_memory

rss = MemoryWatch().rss
before = rss()
# Blocks that glibc takes from its heap, and one above them that keeps it from shrinking the heap by itself.
blocks = [np.ones(60_000, np.uint8) for _ in range(2_000)]
last = np.ones(60_000, np.uint8)
held = rss()
del blocks
freed = rss()
release_memory()
print(json.dumps({"held": held - before, "freed": freed - before, "released": rss() - before}))
"""

#: A block of 24 MiB that is freed raises glibc's threshold, so that blocks of 16 MiB would come from its heap.
_BLOCKS = """
import json, sys
import numpy as np
from embedder.models.memory import MemoryWatch, map_large_blocks

if sys.argv[1] == "mapped":
    map_large_blocks()
np.ones(24 * 2**20, np.uint8)
rss = MemoryWatch().rss
before = rss()
blocks = [np.ones(16 * 2**20, np.uint8) for _ in range(8)]
last = np.ones(500_000, np.uint8)  # in the heap, above them
del blocks
print(json.dumps({"kept": rss() - before}))
"""

_SHAPES = """
import json, sys
from pathlib import Path
from embedder.models.memory import MemoryWatch, limit_kernel_caches, release_memory

if sys.argv[2] == "limited":
    limit_kernel_caches()
import embedder.models.torch_engine as torch_engine
engine = torch_engine.TorchEngine(Path(sys.argv[1]), name="model", device="cpu", precision="bf16")
inputs = [engine.tokenize(["sea " * count])[0] for count in range(1, 254, 4)]
engine.forward(inputs[-1:])
release_memory()
rss = MemoryWatch().rss
before = rss()
for one in inputs:
    engine.forward([one])
release_memory()
print(json.dumps({"kept": rss() - before}))
"""


def child(program: str, *arguments: str) -> dict[str, int]:
    """What a program measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=False, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    measured: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return measured


def checkpoint(directory: Path) -> Path:
    """A BERT of 55 million random float32 weights."""
    import shutil

    from transformers import BertConfig, BertModel

    config = BertConfig(hidden_size=768, num_hidden_layers=4, num_attention_heads=12, intermediate_size=3072)
    config.architectures = ["BertModel"]
    shutil.copytree(MINILM, directory, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "onnx", "openvino"))
    BertModel(config, add_pooling_layer=False).save_pretrained(directory)
    pooling = directory / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({**json.loads(pooling.read_text()), "word_embedding_dimension": 768}))
    return directory


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a checkpoint that outweighs everything else in a process."""
    return checkpoint(tmp_path_factory.mktemp("large") / "model")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_loading_holds_no_second_copy_of_the_weights(large: Path, precision: str) -> None:
    measured = child(_LOAD, str(MINILM), str(large), precision)
    assert measured["weights"] == pytest.approx(51.7e6 * (4 if precision == "fp32" else 2), rel=0.05)
    assert measured["peak"] < 1.5 * measured["weights"] + 16 * MIB
    if precision == "bf16":  # in that of the file the weights are the file, mapped into memory
        assert 0.9 * measured["weights"] < measured["after"] < 1.1 * measured["weights"] + 24 * MIB


def test_freed_memory_is_given_back_to_the_system() -> None:
    measured = child(_RELEASE)
    assert measured["held"] > 100 * MIB
    if measured["freed"] < 50 * MIB:
        pytest.skip("this allocator gives memory back by itself")
    assert measured["released"] < 20 * MIB


def test_large_blocks_leave_no_holes_in_the_heap() -> None:
    if child(_BLOCKS, "as it comes")["kept"] < 50 * MIB:
        pytest.skip("this allocator gives memory back by itself")
    assert child(_BLOCKS, "mapped")["kept"] < 20 * MIB


def test_texts_of_all_lengths_leave_little_behind(large: Path) -> None:
    kept = child(_SHAPES, str(large), "as it comes")["kept"]
    if kept < 50 * MIB:
        pytest.skip("this processor's kernels are not made for each shape")
    assert child(_SHAPES, str(large), "limited")["kept"] < kept / 2
