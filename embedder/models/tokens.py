"""From texts to the arrays that a transformer takes, without torch or transformers."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedder.models.engine import Tokenized
from embedder.models.errors import ModelUnusableError
from embedder.models.nomic_bert import native_settings

#: Inputs of a transformer by name, each of shape [n, longest].
Features = dict[str, NDArray[np.int64]]

#: What transformers say when a tokenizer has no limit: larger than any text.
_NO_LIMIT = 1_000_000

#: Architectures that count positions from the one after the padding token's id.
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})

#: Tokenizer classes that transformers 5 sets up by tokenizer_config.json, whatever tokenizer.json says; a model of an
#: architecture with such a class need not name it.
_BERT_TOKENIZERS = frozenset({"BertTokenizer", "BertTokenizerFast"})
_BERT_ARCHITECTURES = frozenset({"bert"})


class PrivateTokenizer:
    """The tokenizer of a model, in a copy that nobody else can set up differently.

    Truncation is a setting of the tokenizer object: shared between threads, it gives wrong lengths silently. This one
    has none, cuts after counting, and may be called from several threads at once.
    """

    def __init__(self, directory: Path, *, name: str, at_most: int | None = None) -> None:
        """Read the tokenizer of the model in `directory`, and how much the model reads.

        `name` is what errors call the model; `at_most` is a limit in tokens beside those that its files know. Raises
        ModelUnusableError when there is no tokenizer.json, or nothing says how many tokens the model reads.
        """
        folder = transformer_folder(directory)
        files = _Files(folder, name)
        self._tokenizer = files.tokenizer()
        self._special = self._tokenizer.num_special_tokens_to_add(False)
        self._cut_from = str(files.tokenizer_config.get("truncation_side") or "right")
        self._pad_left = files.tokenizer_config.get("padding_side") == "left"
        self._pad_id = files.pad_id(self._tokenizer)
        limits = [limit for limit in (at_most, *files.limits(self._pad_id)) if limit and 0 < limit < _NO_LIMIT]
        #: Tokens that the model reads of one input, special tokens included.
        self.max_tokens: int = min(limits, default=0)
        if self.max_tokens <= self._special:
            raise ModelUnusableError(f"model {name!r}: its files do not say how many tokens it reads")

    def __call__(self, texts: Sequence[str]) -> list[Tokenized]:
        """Tokenize, count, cut."""
        tokenized = []
        for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False):
            count = len(encoding) + self._special
            if count > self.max_tokens:
                encoding.truncate(self.max_tokens - self._special, direction=self._cut_from)
            tokenized.append(Tokenized(self._tokenizer.post_process(encoding).ids, count))
        return tokenized

    def pad(self, ids: Sequence[Sequence[int]], names: Collection[str]) -> Features:
        """The inputs `names` of one batch, out of input_ids, attention_mask, token_type_ids and position_ids."""
        longest = max(map(len, ids))
        inputs = np.full((len(ids), longest), self._pad_id, dtype=np.int64)
        mask = np.zeros_like(inputs)
        for row, tokens in enumerate(ids):
            place = slice(longest - len(tokens), longest) if self._pad_left else slice(0, len(tokens))
            inputs[row, place] = tokens
            mask[row, place] = 1
        features = {"input_ids": inputs, "attention_mask": mask}
        if "token_type_ids" in names:
            features["token_type_ids"] = np.zeros_like(inputs)
        if "position_ids" in names:
            features["position_ids"] = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
        return {name: features[name] for name in names}


def transformer_folder(directory: Path) -> Path:
    """Where the files of the transformer are: in some models its module has a folder."""
    modules = _json(directory / "modules.json")
    return directory / str(modules[0]["path"]) if modules else directory


class _Files:
    """What the files next to a tokenizer say about it."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.tokenizer_config: Mapping[str, Any] = _json(folder / "tokenizer_config.json") or {}
        config: Mapping[str, Any] = _json(folder / "config.json") or {}
        self._config = {**config, **native_settings(config, name=name)}
        # sentence_bert_config.json; others have the name of their own architecture in it.
        described = sorted(folder.glob("sentence_*_config.json"))
        self._sentence_config: Mapping[str, Any] = (_json(described[0]) if described else None) or {}

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


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.is_file() else None
