"""Records which model made vectors that are older than Trimem, after looking whether it can be true."""

import statistics
from dataclasses import dataclass

import numpy as np

from servicekit.errors import TrimemError
from store.errors import AdoptionRefusedError
from store.events import EmbeddingSpace, Vector
from store.repositories.spaces import SpaceRepository
from store.use_cases.embedding import TextEmbedding
from store.use_cases.event_text import text_to_embed

#: Stored vectors that are compared with new ones of the same texts.
SAMPLE_SIZE = 20

#: The same model gives the same vector up to rounding and number format; another model is nowhere near.
LEAST_MEDIAN = 0.99

_PROBE = "Which model are you?"


@dataclass(frozen=True, slots=True)
class Adoption:
    """The space that is recorded now, and how the sample compared."""

    space: EmbeddingSpace
    #: Cosines of stored and new vectors: how many, and their median; None without any.
    compared: int
    median: float | None
    #: False when a space had been recorded before.
    is_new: bool


class AdoptSpace:
    """Makes the embedder's TEXT model the one that made the stored vectors."""

    def __init__(self, spaces: SpaceRepository, embedding: TextEmbedding) -> None:
        self._spaces = spaces
        self._embedding = embedding

    async def run(self, *, force: bool = False) -> Adoption:
        """Compare a sample and record the space.

        With `force` a sample that is not alike, or has no texts, is accepted: the operator knows better. Raises
        AdoptionRefusedError, EmbeddingDimensionError, and what the embedder and the database raise.
        """
        recorded = await self._spaces.space()
        if recorded is not None:
            return Adoption(recorded, compared=0, median=None, is_new=False)
        sample = await self._spaces.sample(SAMPLE_SIZE)
        if not sample:
            raise AdoptionRefusedError(
                "the database has no vectors, so there is nothing to adopt: the first write records its model"
            )
        pairs = [(text, one.embedding) for one in sample if (text := text_to_embed(one.content)) is not None]
        embedded = await self._embedding.documents([text for text, _ in pairs] or [_PROBE])
        for outcome in embedded.outcomes:
            if isinstance(outcome, TrimemError) and embedded.space is None:
                raise outcome
        cosines = [
            _cosine(outcome, stored)
            for outcome, (_, stored) in zip(embedded.outcomes, pairs, strict=False)
            if not isinstance(outcome, TrimemError)
        ]
        median = statistics.median(cosines) if cosines else None
        space = embedded.space
        if space is None:
            raise AdoptionRefusedError("the embedder refused all texts of the sample")
        if not force:
            _require_alike(median, len(cosines), space)
        return Adoption(await self._spaces.adopt_space(space), compared=len(cosines), median=median, is_new=True)


def _require_alike(median: float | None, compared: int, space: EmbeddingSpace) -> None:
    if median is None:
        raise AdoptionRefusedError(
            f"no stored vector has a text to compare with. If you know that {space.describe()} made them, use --force"
        )
    if median < LEAST_MEDIAN:
        raise AdoptionRefusedError(
            f"{space.describe()} does not look like the model that made the stored vectors: the median cosine of "
            f"{compared} stored vectors with new ones of the same texts is {median:.3f}, and should be at least "
            f"{LEAST_MEDIAN}. Point the embedder at the right model (EMBEDDING_MODEL); if the texts were prepared "
            "differently and you know that it is the same model, use --force"
        )


def _cosine(one: Vector, other: Vector) -> float:
    product = np.linalg.norm(one.astype(np.float64)) * np.linalg.norm(other.astype(np.float64))
    return float(np.dot(one.astype(np.float64), other.astype(np.float64)) / product) if product else 0.0
