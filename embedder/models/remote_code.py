"""Code that comes with a model: which of it may be run once the operator has allowed it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedder.models.errors import ModelUnusableError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_commit(revision: str) -> bool:
    """Whether a revision is a full commit, which nobody can move."""
    return _COMMIT.fullmatch(revision) is not None


def require_own_code(directory: Path, *, name: str) -> None:
    """Make sure that all code that a model asks for lies in its own directory.

    transformers fetches `owner/name--module.Class` from that repository, at whatever is its newest revision.
    Raises ModelUnusableError.
    """
    for path in sorted(directory.glob("*.json")):
        for reference in _code_references(json.loads(path.read_text("utf-8"))):
            if "--" in reference:
                raise ModelUnusableError(
                    f"model {name!r}: {path.name} asks for the code {reference}, which is of another repository and "
                    "is not covered by the pinned revision: it is never run"
                )


def _code_references(config: Any) -> Iterator[str]:
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        if key == "auto_map":
            yield from _strings(value)
        else:
            yield from _code_references(value)  # configurations contain configurations


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
