"""Vector spaces: what may be compared with what, and how vectors get their final form."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedder.domain import InputKind
from embedder.models.catalogue import ModelProfile
from embedder.models.engine import Vectors

#: Changes when this file makes other vectors than before of the same model.
_RECIPE = 1


class UnusableVectorError(ArithmeticError):
    """A model made a vector that is zero, NaN or infinite."""


def cosines(ours: Vectors, theirs: Vectors) -> Vectors:
    """The cosine of each row with the one in its place; both of shape [n, d]. NaN where a vector is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Vectors = np.sum(ours * theirs, axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return result


@dataclass(frozen=True, slots=True)
class VectorSpace:
    """The space that a model's vectors live in."""

    #: Digest of weights, tokenizer and pooling.
    content: str
    #: Length of full vectors.
    dimension: int
    profile: ModelProfile

    def offers(self, dimensions: int) -> bool:
        """Whether vectors of this length can be made."""
        if dimensions == self.dimension:
            return True
        shortest = self.profile.shortest
        return shortest is not None and shortest <= dimensions < self.dimension

    def fingerprint(self, dimensions: int) -> str:
        """Identity of the space of vectors of this length, as 64 hexadecimal digits.

        Precision, device and engine are not part of it: they move vectors by rounding only.
        """
        description: dict[str, Any] = {
            "recipe": _RECIPE,
            "content": self.content,
            "prefixes": [self.profile.prefixes[InputKind.DOCUMENT], self.profile.prefixes[InputKind.QUERY]],
            "normalisation": "l2",
            "shortening": None if dimensions == self.dimension else "centre-slice",
            "dimension": dimensions,
        }
        return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()

    def finish(self, raw: Vectors, dimensions: int) -> Vectors:
        """Vectors of L2 norm 1 and length `dimensions` from what the engine made, shape [n, dimension].

        Shortening follows the model card of nomic-embed-text-v1.5: layer norm over the full vector, slice, L2. The
        scale that layer norm divides by cancels out in L2, so centring is all that is left of it.
        Raises UnusableVectorError.
        """
        wide = raw.astype(np.float64)
        if dimensions != self.dimension:
            wide = (wide - wide.mean(axis=1, keepdims=True))[:, :dimensions]
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not (norms > 0).all():
            raise UnusableVectorError("a vector is zero, NaN or infinite")
        finished: Vectors = (wide / norms).astype(np.float32)
        return finished
