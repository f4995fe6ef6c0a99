"""Pools the vectors of tokens outside of a graph that does not do it, as a model's modules say."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from embedder.models.engine import Vectors
from embedder.models.errors import ModelUnusableError
from embedder.models.pooling import pooling_modes

#: Vectors of tokens of shape [n, longest, d] and which are no padding, shape [n, longest], to shape [n, d].
Pool = Callable[[NDArray[np.float32], NDArray[np.int64]], Vectors]


def _mean(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> Vectors:
    weights = mask.astype(np.float32)
    # One matrix product a row: the product with a broadcast mask would copy all the vectors.
    sums: Vectors = np.matmul(weights[:, np.newaxis, :], tokens)[:, 0]
    means: Vectors = sums / weights.sum(axis=1, keepdims=True)
    return means


def _cls(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> Vectors:
    first: Vectors = tokens[np.arange(len(tokens)), mask.argmax(axis=1)]
    return first


def _last(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> Vectors:
    last: Vectors = tokens[np.arange(len(tokens)), mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)]
    return last


def _max(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> Vectors:
    greatest: Vectors = np.where(mask[:, :, np.newaxis] == 1, tokens, -np.inf).max(axis=1).astype(np.float32)
    return greatest


_POOLS: Mapping[str, Pool] = MappingProxyType({"mean": _mean, "cls": _cls, "lasttoken": _last, "max": _max})


def read_pooling(directory: Path, *, name: str, pooling: str | None = None) -> Pool:
    """How the model in `directory` pools; `pooling` is that of a model without modules.json.

    Raises ModelUnusableError, naming it, for whatever comes after the transformer and is not done here.
    """
    listed = directory / "modules.json"
    if not listed.is_file():
        return _pool([pooling] if pooling else [], name)
    after = json.loads(listed.read_text("utf-8"))[1:]
    kinds = [str(module["type"]).rpartition(".")[2] for module in after]
    for kind in kinds:
        # Normalize: every vector is normalised in the end, with the module or without.
        if kind not in ("Pooling", "Normalize"):
            raise ModelUnusableError(
                f"model {name!r}: its {kind} module is not in the ONNX file; `python -m embedder export` puts it there"
            )
    if kinds.count("Pooling") != 1:
        raise ModelUnusableError(f"model {name!r}: not a transformer followed by pooling")
    config = directory / after[kinds.index("Pooling")]["path"] / "config.json"
    return _pool(pooling_modes(json.loads(config.read_text("utf-8"))) if config.is_file() else [], name)


def _pool(modes: list[str], name: str) -> Pool:
    if len(modes) != 1 or modes[0] not in _POOLS:
        raise ModelUnusableError(
            f"model {name!r}: pools by {' and '.join(modes) or 'nothing that its files name'}; outside of the graph "
            f"the onnx engine knows {', '.join(sorted(_POOLS))}"
        )
    return _POOLS[modes[0]]
