"""Fetches models from the Hugging Face hub, or from its cache on this machine."""

from pathlib import Path

import structlog
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    IncompleteSnapshotError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from embedder.models.checkpoint_files import DEFAULT_ONNX_FILES
from embedder.models.errors import ModelUnreachableError, ModelUnusableError
from embedder.models.reference import HubModel, ModelFiles
from embedder.models.remote_code import is_commit

#: Configurations and tokenizers.
_DESCRIPTIONS = ["*.json", "*.txt", "*.model"]
_TORCH_WEIGHTS = ["*.safetensors"]
_OTHER_TORCH_WEIGHTS = ["pytorch_model*.bin", "*/pytorch_model*.bin"]
_CODE = ["*.py"]


def download(
    model: HubModel, *, engine: str = "torch", onnx_file: str | None = None, remote_code: bool = False
) -> ModelFiles:
    """The snapshot of a hub model, fetched when it is not in the cache: what `engine` ("torch" or "onnx") needs of it.

    `onnx_file` is the path of the ONNX file in the repository, if not where it usually is. Code that comes with the
    model is fetched with `remote_code` only, which wants a full commit as revision. Raises ModelUnusableError when
    the hub has no such model, revision or file, or does not let us have it, and ModelUnreachableError when the model
    is not in the cache and the hub cannot be reached.
    """
    if remote_code and not is_commit(model.revision):
        raise ModelUnusableError(
            f"model {model.name!r}: code is fetched at a pinned commit only, 40 hexadecimal digits"
        )
    disable_progress_bars()
    log = structlog.get_logger("models")
    log.info("resolving hub model", model=model.name, revision=model.revision or "default")
    wanted = f"model {model.name!r}" + (f" at revision {model.revision!r}" if model.revision else "")
    try:
        directory = _fetch(model, engine, onnx_file, _CODE if remote_code else [])
    except GatedRepoError as error:
        raise ModelUnusableError(f"{wanted}: the hub wants its terms accepted and a token in HF_TOKEN") from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelUnusableError(f"{wanted}: the hub has none such, or shows it only to those with a token") from error
    except Exception as error:  # timeouts, proxies, TLS, disks: each layer below has errors of its own
        log.warning("hub model not fetched", model=model.name, cause=f"{type(error).__name__}: {error}")
        cached = "only in part" if isinstance(error, IncompleteSnapshotError) else "not"
        raise ModelUnreachableError(
            f"{wanted}: {cached} in the local cache, and the hub cannot be reached. Where there is no network, set the "
            "model to a local directory, or to `package:NAME` of an installed Python package that carries one"
        ) from error
    # The cache keeps each commit in a directory of that name.
    return ModelFiles(directory, revision=directory.name)


def _fetch(model: HubModel, engine: str, onnx_file: str | None, code: list[str]) -> Path:
    if engine == "onnx":
        names = (onnx_file,) if onnx_file else DEFAULT_ONNX_FILES
        # Larger weights lie next to the file, under names that exporters make of its own.
        weights = [pattern for name in names for pattern in (name, f"{name}_data*", f"{name}.data*")]
        return _snapshot(model, _DESCRIPTIONS + weights + code)
    directory = _snapshot(model, _DESCRIPTIONS + _TORCH_WEIGHTS + code)
    if any(directory.rglob("*.safetensors")):
        return directory
    return _snapshot(model, _DESCRIPTIONS + _TORCH_WEIGHTS + _OTHER_TORCH_WEIGHTS + code)


def _snapshot(model: HubModel, patterns: list[str]) -> Path:
    return Path(snapshot_download(model.name, revision=model.revision or None, allow_patterns=patterns))
