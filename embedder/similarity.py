"""Use case: how alike two texts or vectors are."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from embedder.domain import Domain
from embedder.embedding import EmbedCommand, Embedding, require_text
from embedder.models.engine import Vectors
from servicekit.errors import InvalidArgumentError

#: A text, a vector of shape [d], or nothing given.
Side: TypeAlias = str | Vectors | None


@dataclass(frozen=True, slots=True)
class SimilarityResult:
    """The cosine of the angle between two vectors."""

    #: In [-1, 1].
    cosine: float

    @property
    def score(self) -> float:
        """The cosine moved to [0, 1]."""
        return (self.cosine + 1) / 2


class Similarity:
    """Compares, embedding what is text."""

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    async def compare(self, first: Side, second: Side, domain: Domain = Domain.TEXT) -> SimilarityResult:
        """The similarity of two sides. Texts are embedded as documents.

        Raises InvalidArgumentError naming the field, and what Embedding.embed raises.
        """
        if domain is Domain.HYBRID:
            raise InvalidArgumentError("domain", "must be TEXT or CODE: HYBRID has two vectors for each text")
        sides = {"first": first, "second": second}
        for name, side in sides.items():
            _require_side(name, side)
        vectors = await self._vectors(sides, domain)
        left, right = (vectors[name].astype(np.float64) for name in sides)
        if left.shape != right.shape:
            raise InvalidArgumentError("second", f"has length {right.size}, and `first` has length {left.size}")
        cosine = float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))
        return SimilarityResult(min(1.0, max(-1.0, cosine)))  # rounding can step over the edge

    async def _vectors(self, sides: dict[str, Side], domain: Domain) -> dict[str, Vectors]:
        texts = {name: side for name, side in sides.items() if isinstance(side, str)}
        vectors = {name: side for name, side in sides.items() if isinstance(side, np.ndarray)}
        if texts:
            result = await self._embedding.embed(EmbedCommand(list(texts.values()), domain))
            vectors.update(zip(texts, result.encoded[domain].vectors, strict=True))
        return vectors


def _require_side(name: str, side: Side) -> None:
    if side is None:
        raise InvalidArgumentError(name, "must be a text or a vector")
    if isinstance(side, str):
        require_text(f"{name}.text", side)
        return
    field = f"{name}.vector.values"
    if side.size == 0:
        raise InvalidArgumentError(field, "must not be empty")
    if not np.isfinite(side).all():
        raise InvalidArgumentError(field, "must not hold NaN or infinity")
    if not side.any():
        raise InvalidArgumentError(field, "must not all be zero: a zero vector has no direction")
