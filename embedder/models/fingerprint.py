"""Identity of a model by what is in its files, wherever they lie."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: What tokenizers are made of where there is no tokenizer.json.
_OLD_TOKENIZERS = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)

#: Pooling was first written as one flag a mode; this is what the flags are called now.
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def content_digest(directory: Path) -> str:
    """SHA-256 over all that decides which vectors a model makes, as hexadecimal digits.

    That is the content of weights and tokenizer, the kinds of its modules, and how they pool. `config.json` is left
    out: it is rewritten by every version of the library that saves it. So is everything about where the files lie.
    Reads all weights: takes about a second for a gigabyte.
    """
    digest = hashlib.sha256()
    for label, content in _parts(directory):
        digest.update(f"{label}\0{content}\n".encode())
    return digest.hexdigest()


def _parts(directory: Path) -> Iterator[tuple[str, str]]:
    for tokenizer in _tokenizer(directory):
        yield f"tokenizer/{tokenizer.name}", _sha256(tokenizer)
    yield "lower case", str(bool(_json(directory / "sentence_bert_config.json").get("do_lower_case")))
    for module in json.loads((directory / "modules.json").read_text("utf-8")):
        kind = module["type"].rpartition(".")[2]
        if kind == "Normalize":  # every vector is normalised, with the module or without
            continue
        folder = directory / module["path"]
        yield "module", kind
        if kind != "Transformer":
            yield "configuration", json.dumps(_configuration(kind, folder / "config.json"), sort_keys=True)
        for weights in _weights(folder):
            yield f"weights/{weights.name}", _sha256(weights)


def _tokenizer(directory: Path) -> list[Path]:
    whole = directory / "tokenizer.json"
    return [whole] if whole.is_file() else [path for name in _OLD_TOKENIZERS if (path := directory / name).is_file()]


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _configuration(kind: str, path: Path) -> dict[str, Any]:
    configuration = _json(path)
    if kind != "Pooling":
        return configuration
    mode = configuration.get("pooling_mode") or [
        name for flag, name in _POOLING_FLAGS.items() if configuration.get(flag)
    ]
    modes = [mode] if isinstance(mode, str) else sorted(mode)
    return {"modes": modes, "include_prompt": configuration.get("include_prompt", True)}


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
