"""Vectors without a model, for tests."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from embedder.models.engine import EngineInfo, Tokenized, Vectors

_WORD = re.compile(r"\w+|[^\w\s]+")
_MAX_TOKENS = 512


class MockEngine:
    """Deterministic unit vectors: the sum of a pseudo-random vector for each word of the input.

    Inputs with words in common are similar, the more the more words they share, whatever they mean. The same input
    gives the same vector in every process; each reference has a space of its own.
    """

    def __init__(self, reference: str, dimension: int) -> None:
        self._seed = hashlib.sha256(reference.encode()).digest()
        self._info = EngineInfo(
            name="mock",
            device="cpu",
            precision="fp32",
            dimension=dimension,
            max_tokens=_MAX_TOKENS,
            weight_bytes=0,
        )

    @property
    def info(self) -> EngineInfo:
        """What this is."""
        return self._info

    @property
    def content(self) -> str:
        """Stands for the digest of a real model's files."""
        return f"mock 1 {self._seed.hex()}"

    def tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """One token a word or group of signs, letter case apart."""
        return [self._tokenize(text) for text in texts]

    def forward(self, inputs: Sequence[Tokenized], alone: bool = True) -> Vectors:  # noqa: ARG002 - computes nothing
        """Sum the vectors of the tokens: shape [n, dimension]."""
        return np.stack([np.sum([self._vector(token) for token in item.ids], axis=0) for item in inputs])

    def _tokenize(self, text: str) -> Tokenized:
        words = _WORD.findall(text.lower())
        ids = [int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) for word in words]
        # No input is without a token, because no vector may be zero.
        return Tokenized(ids[:_MAX_TOKENS] or [0], len(ids) or 1)

    def _vector(self, token: int) -> Vectors:
        bits = hashlib.shake_256(self._seed + token.to_bytes(8)).digest(self._info.dimension)
        return np.frombuffer(bits, dtype=np.uint8).astype(np.float32) - 127.5
