"""Reads the modules of a sentence-transformers model, and makes sure that nothing of it is missing."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers.base.modules import Dense, Module, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

from embedder.models.errors import ModelUnusableError


class WholeTransformer(Transformer):
    """A transformer that kept the report of which weights its checkpoint lacked and which it did not use.

    Without looking at it a checkpoint of another architecture loads with random weights in place of its own.
    """

    report: dict[str, Any] | None = None

    def _load_model(self, *args: Any, **kwargs: Any) -> Any:
        # With `output_loading_info`, which sentence-transformers only passes on, transformers returns a pair. Weights
        # of another shape would be raised at once, without saying which.
        pair: Any = super()._load_model(*args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs)
        model, self.report = pair
        return model


#: What a model may be made of, by the last part of the type in modules.json. Types outside of the library are code
#: that comes with a model, which is never run.
_MODULES: dict[str, type[Module]] = {
    "Transformer": WholeTransformer,
    "Pooling": Pooling,
    "Dense": Dense,
    "LayerNorm": LayerNorm,
    "Normalize": Normalize,
}

#: Parts that have no say in a vector pooled from token embeddings: heads for other tasks, and buffers.
_WITHOUT_EFFECT = ("pooler.", "cls.", "lm_head.", "classifier.")
_BUFFERS = ("position_ids",)


def load_modules(directory: Path, *, name: str) -> tuple[Transformer, list[Module]]:
    """The transformer of a model, and all modules that modules.json lists, in float32 on the CPU.

    Raises ModelUnusableError when one is of an unknown kind or the weights do not fit the architecture.
    """
    _quieten()
    listed = json.loads((directory / "modules.json").read_text("utf-8"))
    modules = [_load(directory, entry, name) for entry in listed]
    transformer = modules[0] if modules else None
    if not isinstance(transformer, WholeTransformer) or not any(isinstance(part, Pooling) for part in modules):
        raise ModelUnusableError(f"model {name!r}: not a transformer followed by pooling")
    _require_whole(transformer, name)
    return transformer, modules


def _quieten() -> None:
    """Send what transformers says our way, without bars and without the report that is raised as an error."""
    output: Any = transformers.utils.logging
    output.disable_progress_bar()
    output.set_verbosity_error()
    output.disable_default_handler()
    output.enable_propagation()


def _load(directory: Path, entry: dict[str, Any], name: str) -> Module:
    library, _, kind = str(entry["type"]).rpartition(".")
    if kind not in _MODULES or not library.startswith("sentence_transformers"):
        raise ModelUnusableError(f"model {name!r}: made of {entry['type']}, which is not supported")
    loaded: Module = _MODULES[kind].load(
        str(directory),
        subfolder=entry["path"],
        local_files_only=True,
        trust_remote_code=False,
        # transformers 5 would load a checkpoint that is stored in half precision as it is stored.
        model_kwargs={"dtype": torch.float32},
    )
    return loaded


def _require_whole(transformer: WholeTransformer, name: str) -> None:
    report = transformer.report
    if report is None:
        raise RuntimeError("sentence-transformers loads models in another way than this version knows")
    architecture = type(transformer.model).__name__
    problems = [
        f"{len(keys)} weights {complaint} (such as {keys[0]})"
        for complaint, keys in (
            (f"that {architecture} needs are missing", _with_effect(report["missing_keys"])),
            (f"have no place in {architecture}", _with_effect(report["unexpected_keys"])),
            ("have the wrong shape", sorted(str(key) for key, *_ in report["mismatched_keys"])),
        )
        if keys
    ]
    if problems:
        raise ModelUnusableError(f"model {name!r}: its files are of another architecture: {', '.join(problems)}")


def _with_effect(keys: Iterable[str]) -> list[str]:
    return sorted(key for key in keys if not key.startswith(_WITHOUT_EFFECT) and not key.endswith(_BUFFERS))
