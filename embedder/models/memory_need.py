"""How much more memory a process will have in use once it has loaded a model, from the model's files alone."""

import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from embedder.models.checkpoint_files import find_onnx, onnx_data, torch_weights
from embedder.models.onnx_files import int8_name

_MIB = 2**20

#: Libraries of an engine, as long as it is not imported: growth of RSS in a process that already has the rest of the
#: embedder, by `import embedder.models.torch_engine` (182 MiB, and 25 MiB of libtorch that the first batch touches),
#: and by `import onnxruntime, tokenizers` (21 MiB, and 14 MiB). torch 2.13 on x86-64, Python 3.11.
_LIBRARIES = {"torch": ("torch", 210 * _MIB), "onnx": ("onnxruntime", 35 * _MIB)}

#: The process that reads a torch model: 418 MiB of libraries beside the weights.
_READER = 420 * _MIB

#: The tokenizer, machine code for the model's shapes, and what the allocator cannot give back: growth of RSS beyond the
#: weights by loading a second and a third model, its heap trimmed: 46 and 42 MiB for vocabularies of 30 000 and 61 000.
_AROUND_WEIGHTS = 46 * _MIB

#: Activations: growth of anonymous memory at the peak of batches of up to 512 tokens with 12 layers of 768:
#: 14 MiB with torch in bf16, 60 MiB when the heap is fragmented.
_ACTIVATIONS = 64 * _MIB

#: Bytes of a number in a file, by the name that safetensors gives its type. What is not a float keeps its type.
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
_OTHERS = {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}

#: Bytes of a weight in memory. "auto" may become fp32, and a budget is better not kept to the last byte than broken.
_IN_MEMORY = {"fp32": 4, "auto": 4, "bf16": 2, "fp16": 2}


def need(directory: Path, *, engine: str, precision: str, onnx_file: str | None = None) -> int:
    """Bytes that loading and running the model in `directory` will add to this process.

    `engine` is "torch" or "onnx"; `precision` "fp32", "bf16", "fp16", "int8" or "auto", which counts as fp32.
    `onnx_file` is where the ONNX file in full precision is, relative to the directory, if not in the usual place.
    Reads headers only. Files that are missing or broken count for nothing: whoever loads them says what is wrong.
    """
    weights = (
        _onnx_weights(directory, precision, onnx_file) if engine == "onnx" else _torch_weights(directory, precision)
    )
    return weights + _AROUND_WEIGHTS + _ACTIVATIONS + _libraries(engine)


def reading_need(directory: Path, precision: str) -> int:
    """Bytes that the process which reads a torch model takes at most, before ours takes anything. The file that it
    maps is not counted: the kernel can let go of it."""
    return _READER + _AROUND_WEIGHTS + _torch_weights(directory, precision)


def _libraries(engine: str) -> int:
    module, size = _LIBRARIES[engine]
    return 0 if module in sys.modules else size


def _torch_weights(directory: Path, precision: str) -> int:
    """Weights of the transformer and of the modules after it, which have folders of their own."""
    folders = [directory, *(path for path in directory.iterdir() if path.is_dir())]
    # Formats for other programs, in folders that repositories like to have, are not loaded.
    return sum(
        _of_safetensors(path, precision) if path.suffix == ".safetensors" else _of_pickle(path, precision)
        for folder in folders
        for path in _loaded_from(folder)
    )


def _loaded_from(folder: Path) -> Iterable[Path]:
    return (path for path in torch_weights(folder) if path.is_file())


def _of_pickle(path: Path, precision: str) -> int:
    """Nothing in the file says cheaply of what type its numbers are; old checkpoints are float32."""
    return path.stat().st_size * _IN_MEMORY[precision] // 4


def _of_safetensors(path: Path, precision: str) -> int:
    """The format: 8 bytes with the length of a JSON header, little-endian; the header; the tensors."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            return 0
        try:
            header = json.loads(file.read(length))
            return sum(_of_tensors(header, precision))
        except (ValueError, TypeError, KeyError, AttributeError):
            return 0


def _of_tensors(header: dict[str, Any], precision: str) -> Iterator[int]:
    for key, tensor in header.items():
        if key != "__metadata__":
            size = _IN_MEMORY[precision] if tensor["dtype"] in _FLOATS else _OTHERS.get(tensor["dtype"], 1)
            yield math.prod(tensor["shape"]) * size


def _onnx_weights(directory: Path, precision: str, onnx_file: str | None) -> int:
    """onnxruntime holds weights as the file does; the file that says "int8" is smaller in itself."""
    full = find_onnx(directory, onnx_file)
    small = find_onnx(directory, int8_name(onnx_file)) or find_onnx(directory, int8_name("model.onnx"))
    path = small if precision == "int8" or (precision == "auto" and full is None) else full
    return 0 if path is None else sum(file.stat().st_size for file in (path, *onnx_data(path)) if file.is_file())
