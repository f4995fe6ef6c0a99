"""Identity of a model by what is in its files, wherever they lie."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedder.models.checkpoint_files import find_onnx, onnx_data, read_config, sha256, torch_weights
from embedder.models.errors import ModelUnusableError
from embedder.models.pooling import pooling_modes

#: What our ONNX export writes next to what it exports, with the digest of the model that it was compared with.
RECORD = "trimem.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")

#: What tokenizers are made of where there is no tokenizer.json.
_OLD_TOKENIZERS = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)


def content_digest(
    directory: Path, *, engine: str = "torch", pooling: str | None = None, onnx_file: str | None = None
) -> str:
    """SHA-256 over all that decides which vectors a model makes, as hexadecimal digits.

    That is the content of weights and tokenizer, the kinds of its modules, and how they pool. `config.json` is left
    out: it is rewritten by every version of the library that saves it. So is everything about where the files lie.
    `pooling` is that of a model without modules.json. For "torch" the weights are those that torch loads, or where
    there are none those of the ONNX file; for "onnx" always those of the ONNX file: nobody has compared the two, and
    in a hub cache it is an accident whether both are there. That file is `onnx_file`, or the one in full precision,
    never an int8 variant next to it. What our own export made has the digest of what it was compared with.
    Reads all weights: takes about a second for a gigabyte. Raises ModelUnusableError when there are none.
    """
    record = directory / RECORD
    if record.is_file():
        content = read_config(record).get("content")
        if not isinstance(content, str) or not _DIGEST.fullmatch(content):
            raise ModelUnusableError(f"model {str(directory)!r}: {RECORD} has no `content` of 64 digits")
        return content
    digest = hashlib.sha256()
    for label, content in _parts(directory, engine, pooling, onnx_file):
        digest.update(f"{label}\0{content}\n".encode())
    return digest.hexdigest()


def _parts(directory: Path, engine: str, pooling: str | None, onnx_file: str | None) -> Iterator[tuple[str, str]]:
    for tokenizer in _tokenizer(directory):
        yield f"tokenizer/{tokenizer.name}", sha256(tokenizer)
    yield "lower case", str(bool(read_config(directory / "sentence_bert_config.json").get("do_lower_case")))
    for kind, folder in _modules(directory):
        if kind == "Normalize":  # every vector is normalised, with the module or without
            continue
        yield "module", kind
        if kind == "Transformer":
            weights = _transformer_weights(directory, engine, onnx_file, folder)
        else:
            configuration = _configuration(kind, folder / "config.json", pooling)
            yield "configuration", json.dumps(configuration, sort_keys=True)
            weights = torch_weights(folder)
        for path in weights:
            yield f"weights/{path.name}", sha256(path)


def _modules(directory: Path) -> list[tuple[str, Path]]:
    path = directory / "modules.json"
    if not path.is_file():
        return [("Transformer", directory), ("Pooling", directory / "1_Pooling")]
    listed = json.loads(path.read_text("utf-8"))
    return [(entry["type"].rpartition(".")[2], directory / entry["path"]) for entry in listed]


def _transformer_weights(directory: Path, engine: str, onnx_file: str | None, folder: Path) -> list[Path]:
    if engine == "torch" and (weights := torch_weights(folder)):
        return weights
    path = find_onnx(directory, onnx_file)
    if path is None:
        raise ModelUnusableError(f"model {str(directory)!r}: has no weights in full precision to be identified by")
    return [path, *onnx_data(path)]


def _tokenizer(directory: Path) -> list[Path]:
    whole = directory / "tokenizer.json"
    return [whole] if whole.is_file() else [path for name in _OLD_TOKENIZERS if (path := directory / name).is_file()]


def _configuration(kind: str, path: Path, pooling: str | None) -> dict[str, Any]:
    configuration = read_config(path)
    if kind != "Pooling":
        return configuration
    modes = pooling_modes(configuration) if path.is_file() or pooling is None else [pooling]
    return {"modes": modes, "include_prompt": configuration.get("include_prompt", True)}
