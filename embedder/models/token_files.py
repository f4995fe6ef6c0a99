"""Reads the tokenizer of a model from its files, without torch or transformers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from embedder.models.checkpoint_files import read_config, transformer_folder
from embedder.models.errors import ModelUnusableError
from embedder.models.nomic_bert import native_settings
from embedder.models.tokens import PrivateTokenizer

#: Architectures that count positions from the one after the padding token's id.
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})

#: Tokenizer classes that transformers 5 sets up by tokenizer_config.json, whatever tokenizer.json says; a model of an
#: architecture with such a class need not name it.
_BERT_TOKENIZERS = frozenset({"BertTokenizer", "BertTokenizerFast"})
_BERT_ARCHITECTURES = frozenset({"bert"})


def read_tokenizer(directory: Path, *, name: str, at_most: int | None = None) -> PrivateTokenizer:
    """The tokenizer of the model in `directory`, and how much the model reads.

    `name` is what errors call the model; `at_most` is a limit in tokens beside those that its files know. Raises
    ModelUnusableError when there is no tokenizer.json, or nothing says how many tokens the model reads.
    """
    files = _Files(transformer_folder(directory), name)
    tokenizer = files.tokenizer()
    pad_id = files.pad_id(tokenizer)
    return PrivateTokenizer(
        tokenizer,
        name=name,
        limits=[at_most, *files.limits(pad_id)],
        pad_id=pad_id,
        pad_left=files.tokenizer_config.get("padding_side") == "left",
        cut_from=str(files.tokenizer_config.get("truncation_side") or "right"),
    )


class _Files:
    """What the files next to a tokenizer say about it."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.tokenizer_config: Mapping[str, Any] = read_config(folder / "tokenizer_config.json")
        config: Mapping[str, Any] = read_config(folder / "config.json")
        self._config = {**config, **native_settings(config, name=name)}
        # sentence_bert_config.json; others have the name of their own architecture in it.
        described = sorted(folder.glob("sentence_*_config.json"))
        self._sentence_config: Mapping[str, Any] = read_config(described[0]) if described else {}

    def tokenizer(self) -> Tokenizer:
        path = self._folder / "tokenizer.json"
        if not path.is_file():
            raise ModelUnusableError(f"model {self._name!r}: has no fast tokenizer (tokenizer.json)")
        try:
            content = json.loads(path.read_text("utf-8"))
            content |= {"truncation": None, "padding": None, "normalizer": self._normalizer(content.get("normalizer"))}
            return Tokenizer.from_str(json.dumps(content))
        except Exception as error:  # the library raises nothing more special
            raise ModelUnusableError(f"model {self._name!r}: tokenizer.json cannot be read: {error}") from error

    def _normalizer(self, normalizer: dict[str, Any] | None) -> dict[str, Any] | None:
        """As transformers and then sentence-transformers set it up."""
        if normalizer and normalizer["type"] == "BertNormalizer" and self._is_bert():
            normalizer = self._bert(normalizer)
        if not self._sentence_config.get("do_lower_case") or _lowers(normalizer):
            return normalizer
        parts = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else [normalizer]
        return {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *(part for part in parts if part)]}

    def _bert(self, normalizer: dict[str, Any]) -> dict[str, Any]:
        config = self.tokenizer_config
        return {
            **normalizer,
            "lowercase": config.get("do_lower_case", True),
            "strip_accents": config.get("strip_accents"),
            "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
        }

    def _is_bert(self) -> bool:
        named = self.tokenizer_config.get("tokenizer_class")
        return named in _BERT_TOKENIZERS if named else self._config.get("model_type") in _BERT_ARCHITECTURES

    def pad_id(self, tokenizer: Tokenizer) -> int:
        token = self.tokenizer_config.get("pad_token")
        text = token.get("content") if isinstance(token, dict) else token
        found = tokenizer.token_to_id(text) if isinstance(text, str) else None
        return int(found if found is not None else self._config.get("pad_token_id") or 0)

    def limits(self, pad_id: int) -> list[int | None]:
        arguments = self._sentence_config.get("tokenizer_args") or {}
        read = (
            self._sentence_config.get("max_seq_length")
            or arguments.get("model_max_length")
            or self.tokenizer_config.get("model_max_length")
        )
        positions = self._config.get("max_position_embeddings")
        if positions and self._config.get("model_type") in _OFFSET_POSITIONS:
            positions -= pad_id + 1
        return [int(limit) if limit else None for limit in (read, positions)]


def _lowers(normalizer: Mapping[str, Any] | None) -> bool:
    match (normalizer or {}).get("type"):
        case "Lowercase":
            return True
        case "BertNormalizer":
            return bool(normalizer and normalizer["lowercase"])
        case "Sequence":
            return any(_lowers(part) for part in (normalizer or {})["normalizers"])
        case _:
            return False
