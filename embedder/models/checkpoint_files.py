"""Makes sure that the files of a model are all there and whole, before anything reads them."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from embedder.models.errors import ModelUnusableError

#: Where repositories keep their ONNX file.
DEFAULT_ONNX_FILES = ("onnx/model.onnx", "model.onnx")

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_DESCRIPTIONS = {".json", ".txt", ".model"}
_HALF = "half-downloaded? Delete it and fetch it again"


def require_whole_torch(directory: Path, *, name: str) -> None:
    """Look at every file that torch would read; `name` is what errors call the model. Reads headers only.

    Raises ModelUnusableError, naming the file, for what is missing, empty, cut off, not JSON, a Git LFS pointer, a
    link to nowhere, or named by an index and not there.
    """
    if not torch_weights(transformer_folder(directory)):
        raise ModelUnusableError(
            f"model {name!r}: model.safetensors is missing"
            + _begun(directory)
            + ("; there is an ONNX file, which the onnx engine runs" if find_onnx(directory) else "")
        )
    folders = [directory, *(path for path in directory.iterdir() if path.is_dir())]
    _require_whole(directory, [path for folder in folders for path in torch_weights(folder)], name)


def require_whole_onnx(directory: Path, *, name: str, onnx_file: str | None = None) -> None:
    """Look at every file that onnxruntime would read, as `require_whole_torch` does.

    `onnx_file` is relative to the directory; by default onnx/model.onnx, else model.onnx.
    """
    path = find_onnx(directory, onnx_file)
    if path is None:
        raise ModelUnusableError(
            f"model {name!r}: {onnx_file or DEFAULT_ONNX_FILES[0]} is missing"
            + _begun(directory)
            + ("; there are weights for the torch engine" if torch_weights(transformer_folder(directory)) else "")
        )
    _require_whole(directory, [path, *onnx_data(path)], name)


def torch_weights(folder: Path) -> list[Path]:
    """The files with weights that torch would load, links to nowhere included, sorted."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def find_onnx(directory: Path, onnx_file: str | None = None) -> Path | None:
    """The ONNX file of a model, in full precision: others in its directory are made from it."""
    candidates = (directory / name for name in ((onnx_file,) if onnx_file else DEFAULT_ONNX_FILES))
    return next((path for path in candidates if path.exists() or path.is_symlink()), None)


def onnx_data(path: Path) -> list[Path]:
    """The files next to an ONNX file with the weights that it is too small for, as exporters call them, sorted."""
    return sorted({*path.parent.glob(f"{path.name}_data*"), *path.parent.glob(f"{path.name}.data*")})


def read_config(path: Path) -> dict[str, Any]:
    """A configuration, empty when there is no such file."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return content


def sha256(path: Path) -> str:
    """Of the content of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_whole(directory: Path, weights: Iterable[Path], name: str) -> None:
    described = [path for path in directory.rglob("*") if path.suffix in _DESCRIPTIONS]
    for path in sorted({*described, *weights}):
        if complaint := _complaint(path):
            raise ModelUnusableError(f"model {name!r}: {path.relative_to(directory)} {complaint}")


def transformer_folder(directory: Path) -> Path:
    """Where the weights of the transformer are: old models have a folder for them."""
    try:
        return directory / str(json.loads((directory / "modules.json").read_text("utf-8"))[0]["path"])
    except (OSError, ValueError, LookupError, TypeError):
        return directory  # what is wrong with the file is said elsewhere


def _begun(directory: Path) -> str:
    """What a hub cache has of a download: a snapshot lies in MODEL/snapshots/COMMIT, pieces lie in MODEL/blobs."""
    if directory.parent.name != "snapshots":
        return ""
    begun = sorted((directory.parent.parent / "blobs").glob("*.incomplete"))
    return f", its download was cut off ({begun[0].name} in the cache); fetch it again" if begun else ""


def _complaint(path: Path) -> str:
    if not path.exists():
        return f"is a link to a file that is not there: {_HALF}"
    if not path.is_file():
        return ""
    size = path.stat().st_size
    if size == 0:
        return f"is empty: {_HALF}"
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            return "is a Git LFS pointer and not the file itself: run `git lfs pull` where it was cloned"
        file.seek(0)
        return _content_complaint(path, file, size)


def _content_complaint(path: Path, file: BinaryIO, size: int) -> str:
    match path.suffix:
        case ".json":
            return _json_complaint(path)
        case ".safetensors":
            return _safetensors_complaint(file, size)
        case ".bin":
            # Since torch 1.6 these are ZIP archives, whose directory is at the end.
            return f"is cut off: {_HALF}" if file.read(2) == b"PK" and not zipfile.is_zipfile(path) else ""
        case _:
            return ""


def _json_complaint(path: Path) -> str:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError:
        return f"is not JSON: {_HALF}"
    if not path.name.endswith(".index.json") or not isinstance(content, dict):
        return ""
    missing = [shard for shard in _shards(content) if not (path.parent / shard).exists()]
    return f"names {missing[0]}, which is not there: {_HALF}" if missing else ""


def _shards(index: dict[str, Any]) -> Iterator[str]:
    yield from sorted({str(shard) for shard in index.get("weight_map", {}).values()})


def _safetensors_complaint(file: BinaryIO, size: int) -> str:
    """The format: 8 bytes with the length of a JSON header, the header, and the tensors that it gives offsets of."""
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        return f"is cut off, or no safetensors file: {_HALF}"
    try:
        header: dict[str, Any] = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        wanted = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return f"has no readable header: {_HALF}"
    return f"is cut off, it has {size} of {wanted} bytes: {_HALF}" if size < wanted else ""
