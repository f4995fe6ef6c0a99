"""From texts to the arrays that a transformer takes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from embedder.models.engine import Tokenized
from embedder.models.errors import ModelUnusableError

#: Inputs of a transformer by name, each of shape [n, longest].
Features = dict[str, NDArray[np.int64]]

#: What transformers say when a tokenizer has no limit: larger than any text.
_NO_LIMIT = 1_000_000


class PrivateTokenizer:
    """A tokenizer that nobody else can set up differently.

    Truncation is a setting of the tokenizer object: shared between threads, it gives wrong lengths silently. This one
    has none, cuts after counting, and may be called from several threads at once.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        name: str,
        limits: Iterable[int | None],
        pad_id: int,
        pad_left: bool = False,
        cut_from: str = "right",
    ) -> None:
        """Take over `tokenizer`, which must belong to nobody else.

        `name` is what errors call the model. `limits` are how many tokens the model reads by each that has a say.
        Raises ModelUnusableError when none has.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._special = tokenizer.num_special_tokens_to_add(False)
        self._cut_from = cut_from
        self._pad_left = pad_left
        self._pad_id = pad_id
        #: Tokens that the model reads of one input, special tokens included.
        self.max_tokens: int = min((limit for limit in limits if limit and 0 < limit < _NO_LIMIT), default=0)
        if self.max_tokens <= self._special:
            raise ModelUnusableError(f"model {name!r}: its files do not say how many tokens it reads")

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], *, name: str) -> Self:
        """What `as_dict` gave."""
        others = {key: value for key, value in saved.items() if key != "tokenizer"}
        return cls(Tokenizer.from_str(saved["tokenizer"]), name=name, **others)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "tokenizer": self._tokenizer.to_str(),
            "limits": [self.max_tokens],
            "pad_id": self._pad_id,
            "pad_left": self._pad_left,
            "cut_from": self._cut_from,
        }

    def __call__(self, texts: Sequence[str]) -> list[Tokenized]:
        """Tokenize, count, cut."""
        tokenized = []
        for encoding in self._encode(texts):
            count = len(encoding) + self._special
            if count > self.max_tokens:
                encoding.truncate(self.max_tokens - self._special, direction=self._cut_from)
            tokenized.append(Tokenized(self._tokenizer.post_process(encoding).ids, count))
        return tokenized

    def _encode(self, texts: Sequence[str]) -> Sequence[Encoding]:
        if len(texts) == 1:  # the other way takes a detour through a pool of threads
            return [self._tokenizer.encode(texts[0], add_special_tokens=False)]
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=False)

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
