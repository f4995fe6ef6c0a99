"""How the vectors of tokens become the vector of a text, as the files of a model say it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from embedder.models.errors import ModelUnusableError

#: What sentence-transformers calls the ways to pool.
PoolingMode: TypeAlias = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]

#: Pooling was first written as one flag a mode; this is what the flags are called now.
_FLAGS: Mapping[str, PoolingMode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def pooling_modes(configuration: Mapping[str, Any]) -> list[str]:
    """The modes that the configuration of a Pooling module asks for, however it is written, sorted."""
    mode = configuration.get("pooling_mode") or [name for flag, name in _FLAGS.items() if configuration.get(flag)]
    return [mode] if isinstance(mode, str) else sorted(mode)


def require_pooling(directory: Path, pooling: str | None, *, name: str) -> None:
    """Make sure that it is known how a model pools, and not in two ways.

    `pooling` is what the catalogue says, `name` what errors call the model. Raises ModelUnusableError.
    """
    listed = directory / "modules.json"
    if not listed.is_file():
        if pooling is None:
            # Without it sentence-transformers would guess a pooling, and be silently wrong for many models.
            raise ModelUnusableError(
                f"model {name!r}: not a sentence-transformers model, it has no modules.json; "
                "an entry in EMBEDDING_CATALOGUE_FILE with `pooling` says how it pools"
            )
        return
    for module in json.loads(listed.read_text("utf-8")) if pooling else ():
        path = directory / module["path"] / "config.json"
        if module["type"].endswith(".Pooling") and path.is_file():
            own = pooling_modes(json.loads(path.read_text("utf-8")))
            if own != [pooling]:
                raise ModelUnusableError(
                    f"model {name!r}: the catalogue says that it pools by {pooling}, its {module['path']}/config.json "
                    f"says {' and '.join(own)}; leave `pooling` out"
                )
