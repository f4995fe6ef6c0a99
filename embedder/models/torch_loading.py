"""Reads the modules of a sentence-transformers model, and makes sure that nothing of it is missing."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers.base.modules import Dense, Module, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

from embedder.models.errors import ModelUnusableError


class WholeTransformer(Transformer):  # type: ignore[misc]
    """A transformer that kept the report of which weights its checkpoint lacked and which it did not use.

    Without looking at it a checkpoint of another architecture loads with random weights in place of its own.
    """

    report: dict[str, Any] | None = None

    def _load_model(self, *args: Any, **kwargs: Any) -> Any:
        model, self.report = super()._load_model(*args, output_loading_info=True, **kwargs)
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


def load_modules(directory: Path, *, name: str) -> Sequence[Module]:
    """The modules that modules.json lists, the transformer first, in float32 on the CPU.

    Raises ModelUnusableError when one is of an unknown kind or the weights do not fit the architecture.
    """
    # Bars and reports on standard error: what matters of them is raised, and logged in our format.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    listed = json.loads((directory / "modules.json").read_text("utf-8"))
    modules = [_load(directory, entry, name) for entry in listed]
    transformer = modules[0] if modules else None
    if not isinstance(transformer, WholeTransformer) or not any(isinstance(part, Pooling) for part in modules):
        raise ModelUnusableError(f"model {name!r}: not a transformer followed by pooling")
    _require_whole(transformer, name)
    return modules


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
            ("have the wrong shape", sorted(str(key) for key in report["mismatched_keys"])),
        )
        if keys
    ]
    if problems:
        raise ModelUnusableError(f"model {name!r}: its files are of another architecture: {', '.join(problems)}")


def _with_effect(keys: Iterable[str]) -> list[str]:
    return sorted(key for key in keys if not key.startswith(_WITHOUT_EFFECT) and not key.endswith(_BUFFERS))
