"""From texts to the tensors that a transformer takes."""

from collections.abc import Sequence

import torch
from sentence_transformers.base.modules import Transformer
from tokenizers import Tokenizer

from embedder.models.engine import Tokenized
from embedder.models.errors import ModelUnusableError

#: What transformers say when a tokenizer has no limit: larger than any text.
_NO_LIMIT = 1_000_000


class PrivateTokenizer:
    """A copy of a model's tokenizer that nobody else can set up differently.

    Truncation is a setting of the tokenizer object: shared between threads, it gives wrong lengths silently. This one
    has none, and cuts after counting.
    """

    def __init__(self, transformer: Transformer, *, name: str, at_most: int | None = None) -> None:
        """Copy. `name` is what errors call the model; `at_most` is a limit beside those that its files know."""
        original = transformer.tokenizer
        if original is None or not original.is_fast:
            raise ModelUnusableError(f"model {name!r}: has no fast tokenizer (tokenizer.json)")
        backend: Tokenizer = original.backend_tokenizer
        self._tokenizer = Tokenizer.from_str(backend.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._special = self._tokenizer.num_special_tokens_to_add(False)
        self._side = original.truncation_side
        self._pad_left = original.padding_side == "left"
        self._pad_id = original.pad_token_id or 0
        self._wants_types = "token_type_ids" in original.model_input_names
        limits = (
            at_most,
            transformer.max_seq_length,
            getattr(transformer.model.config, "max_position_embeddings", None),
        )
        #: Tokens that the model reads of one input, special tokens included.
        self.max_tokens = min((limit for limit in limits if limit and 0 < limit < _NO_LIMIT), default=0)
        if self.max_tokens <= self._special:
            raise ModelUnusableError(f"model {name!r}: its files do not say how many tokens it reads")

    def __call__(self, texts: Sequence[str]) -> list[Tokenized]:
        """Tokenize, count, cut."""
        tokenized = []
        for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False):
            count = len(encoding) + self._special
            if count > self.max_tokens:
                encoding.truncate(self.max_tokens - self._special, direction=self._side)
            tokenized.append(Tokenized(self._tokenizer.post_process(encoding).ids, count))
        return tokenized

    def pad(self, ids: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """The features of one batch: `input_ids`, `attention_mask` and perhaps `token_type_ids`, shape [n, longest]."""
        longest = max(map(len, ids))
        inputs = torch.full((len(ids), longest), self._pad_id, dtype=torch.long)
        mask = torch.zeros((len(ids), longest), dtype=torch.long)
        for row, tokens in enumerate(ids):
            place = slice(longest - len(tokens), longest) if self._pad_left else slice(0, len(tokens))
            inputs[row, place] = torch.tensor(tokens, dtype=torch.long)
            mask[row, place] = 1
        features = {"input_ids": inputs, "attention_mask": mask}
        if self._wants_types:
            features["token_type_ids"] = torch.zeros_like(inputs)
        return features
