"""Fetches models from the Hugging Face hub, or from its cache on this machine."""

from pathlib import Path

import structlog
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils.tqdm import disable_progress_bars

from embedder.models.errors import ModelUnreachableError, ModelUnusableError
from embedder.models.reference import HubModel, ModelFiles

#: Configuration, tokenizer and weights. Not the code that some repositories bring: it is never run.
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
_OTHER_WEIGHTS = ["pytorch_model*.bin", "*/pytorch_model*.bin"]


def download(model: HubModel) -> ModelFiles:
    """The snapshot of a hub model, fetched when it is not in the cache.

    Raises ModelUnusableError when the hub has no such model or revision, or does not let us have it, and
    ModelUnreachableError when the model is not in the cache and the hub cannot be reached.
    """
    disable_progress_bars()
    log = structlog.get_logger("models")
    log.info("resolving hub model", model=model.name, revision=model.revision or "default")
    wanted = f"model {model.name!r}" + (f" at revision {model.revision!r}" if model.revision else "")
    try:
        directory = _snapshot(model, _FILES)
        if not any(directory.rglob("*.safetensors")):
            directory = _snapshot(model, _FILES + _OTHER_WEIGHTS)
    except GatedRepoError as error:
        raise ModelUnusableError(f"{wanted}: the hub wants its terms accepted and a token in HF_TOKEN") from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelUnusableError(f"{wanted}: the hub has none such, or shows it only to those with a token") from error
    except Exception as error:  # timeouts, proxies, TLS, disks: each layer below has errors of its own
        log.warning("hub model not fetched", model=model.name, cause=f"{type(error).__name__}: {error}")
        raise ModelUnreachableError(
            f"{wanted}: not in the local cache, and the hub cannot be reached. Where there is no network, set the "
            "model to a local directory, or to `package:NAME` of an installed Python package that carries one"
        ) from error
    # The cache keeps each commit in a directory of that name.
    return ModelFiles(directory, revision=directory.name)


def _snapshot(model: HubModel, patterns: list[str]) -> Path:
    return Path(snapshot_download(model.name, revision=model.revision or None, allow_patterns=patterns))
