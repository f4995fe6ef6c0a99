"""Texts whose length in tokens is known, and no two of which are equal."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: [CLS] and [SEP].
_SPECIAL = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its length as the benchmark's models count it, special tokens included."""

    text: str
    tokens: int


class Texts:
    """Makes random texts of words that are one token each. A text is never made twice."""

    def __init__(self, vocabulary: Sequence[str], seed: int) -> None:
        """`vocabulary` are words of one token."""
        self._words = np.array(vocabulary)
        self._random = np.random.default_rng(seed)
        self._made: set[str] = set()

    @classmethod
    def of_tokenizer(cls, file: Path, seed: int) -> "Texts":
        """Words that a WordPiece `tokenizer.json` keeps whole."""
        pieces = json.loads(file.read_text("utf-8"))["model"]["vocab"]
        return cls(sorted(piece for piece in pieces if piece.isascii() and piece.isalpha() and len(piece) > 2), seed)

    def of_length(self, tokens: int) -> Text:
        """A text of so many tokens, at least 4: fewer words could not all be different."""
        if tokens < 4:
            raise ValueError(f"texts have 4 tokens or more, not {tokens}")
        while True:
            text = " ".join(self._random.choice(self._words, tokens - _SPECIAL))
            if text not in self._made:
                self._made.add(text)
                return Text(text, tokens)

    def short(self, count: int) -> list[Text]:
        """Sentences as somebody types them: 8 to 16 tokens, each length as likely as any other."""
        return [self.of_length(int(tokens)) for tokens in self._random.integers(8, 16, count, endpoint=True)]

    def mixed(self, count: int) -> list[Text]:
        """What a bulk import brings: 4 to 512 tokens, short ones more often, in no order.

        Lengths are spread evenly over the logarithm, so every sample has the same sum but for rounding.
        """
        lengths = np.exp(np.linspace(math.log(4), math.log(512), count)).round().astype(int)
        return [self.of_length(int(tokens)) for tokens in self._random.permutation(lengths)]


def requests_of(texts: Sequence[Text], size: int) -> list[list[Text]]:
    """Cut into requests of `size` texts; the last may be smaller."""
    return [list(texts[start : start + size]) for start in range(0, len(texts), size)]
