"""Reads the modules of a sentence-transformers model, and makes sure that nothing of it is missing."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers.base.modules import Dense, Module, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

from embedder.models.checkpoint_files import read_config, require_whole_torch
from embedder.models.errors import ModelUnusableError
from embedder.models.nomic_bert import native_settings
from embedder.models.pooling import require_pooling
from embedder.models.remote_code import require_own_code


class WholeTransformer(Transformer):
    """A transformer that kept the report of which weights its checkpoint lacked and which it did not use.

    Without looking at it a checkpoint of another architecture loads with random weights in place of its own.
    """

    report: dict[str, Any] | None = None

    def _load_model(self, *args: Any, **kwargs: Any) -> Any:
        # CodeRankEmbed's sentence_bert_config.json asks for this, which is an option for saving.
        kwargs.pop("safe_serialization", None)
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


def load_modules(
    directory: Path,
    *,
    name: str,
    dtype: torch.dtype,
    pooling: str | None = None,
    trust_remote_code: bool = False,
) -> tuple[Transformer, list[Module]]:
    """The transformer of a model, and all modules that modules.json lists, on the CPU, with weights of type `dtype`.

    `name` is what errors call the model. `pooling` is how a model without modules.json pools. With
    `trust_remote_code` Python files in the directory are run when the configuration asks for them; else never.
    Raises ModelUnusableError when files are missing or cut off, a module is of an unknown kind, the weights do not
    fit the architecture, or the configuration asks for code of another repository.
    """
    _quieten()
    require_whole_torch(directory, name=name)
    require_pooling(directory, pooling, name=name)
    if trust_remote_code:
        require_own_code(directory, name=name)
    try:
        return _load_all(directory, name, dtype, pooling, trust_remote_code)
    except ModelUnusableError as error:
        if trust_remote_code or not (code := _code_instead(directory)):
            raise
        raise ModelUnusableError(f"{error.message}; {code}") from error


def _load_all(
    directory: Path, name: str, dtype: torch.dtype, pooling: str | None, trust_remote_code: bool
) -> tuple[Transformer, list[Module]]:
    modules = [_load(directory, entry, name, dtype, trust_remote_code) for entry in _listed(directory)]
    transformer = modules[0] if modules else None
    if isinstance(transformer, WholeTransformer) and pooling and len(modules) == 1:
        modules.append(Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling))
    if not isinstance(transformer, WholeTransformer) or not any(isinstance(part, Pooling) for part in modules):
        raise ModelUnusableError(f"model {name!r}: not a transformer followed by pooling")
    _require_whole(transformer, name)
    return transformer, modules


def _code_instead(directory: Path) -> str:
    """What a model that does not load says of code that would have loaded it."""
    described = read_config(directory / "config.json")
    unknown = [kind for kind in described.get("architectures") or () if not hasattr(transformers, kind)]
    if not unknown or "auto_map" not in described:
        return ""
    return f"its architecture {unknown[0]} is code that comes with it, which is not run"


def _listed(directory: Path) -> list[dict[str, Any]]:
    path = directory / "modules.json"
    if not path.is_file():
        return [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    listed: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return listed


def _quieten() -> None:
    """Send what transformers says our way, without bars and without the report that is raised as an error."""
    output: Any = transformers.utils.logging
    output.disable_progress_bar()
    output.set_verbosity_error()
    output.disable_default_handler()
    output.enable_propagation()


def _load(directory: Path, entry: dict[str, Any], name: str, dtype: torch.dtype, trust_remote_code: bool) -> Module:
    library, _, kind = str(entry["type"]).rpartition(".")
    if kind not in _MODULES or not library.startswith("sentence_transformers"):
        raise ModelUnusableError(f"model {name!r}: made of {entry['type']}, which is not supported")
    config = directory / entry["path"] / "config.json"
    settings = {} if trust_remote_code else native_settings(read_config(config), name=name)
    try:
        loaded: Module = _MODULES[kind].load(
            str(directory),
            subfolder=entry["path"],
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            # transformers 5 would load a checkpoint that is stored in half precision as it is stored.
            model_kwargs={"dtype": dtype},
            config_kwargs=settings,
        )
    except Exception as error:  # each library below has errors of its own, and so has code that comes with a model
        raise ModelUnusableError(
            f"model {name!r}: {entry['path'] or config.name} and what belongs to it cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    # The small modules do not take the type. In a transformer not everything has it: not the angles of RoPE.
    return loaded if isinstance(loaded, Transformer) else loaded.to(dtype)


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
