"""Events with vectors for the benchmark of the store, and what is true of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
import numpy.typing as npt

from store.use_cases.words import words_of

Matrix: TypeAlias = npt.NDArray[np.float32]

MONTHS = 12
#: One event in so many matches the filter of the benchmark.
GROUPS = 100
_START = datetime(2025, 1, 1, tzinfo=UTC)
_CENTRES = 500
_WORDS = ("harbour", "lantern", "meadow", "kettle", "signal", "orchard", "window", "copper", "violin", "garden")

#: Columns of a row, as COPY wants them; the last are the words, which the store would have counted.
COLUMNS = (
    "id", "timestamp", "content", "metadata", "embedding", "embedding_state", "terms", "term_counts", "term_total",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rows:
    """Any number of events, the same for the same seed: spread evenly over a year, their vectors in clouds."""

    vectors: Matrix
    seed: int

    @classmethod
    def made(cls, count: int, dimension: int, seed: int) -> "Rows":
        """`count` events with vectors of length 1. As models do, few directions matter: a sixteenth of them."""
        random = np.random.default_rng(seed)
        return cls(_normal(_cloud(random, count, dimension, seed)), seed)

    def queries(self, count: int) -> Matrix:
        """Vectors near some of the events."""
        random = np.random.default_rng(self.seed + 1)
        chosen = self.vectors[random.integers(len(self.vectors), size=count)]
        noise = random.standard_normal(chosen.shape).astype(np.float32) / np.float32(chosen.shape[1]) ** 0.5
        return _normal(chosen + 0.3 * noise)

    def nearest(self, query: Matrix, limit: int, *, group: int | None = None) -> list[int]:
        """The events nearest to a query by exact search, of one group if asked."""
        numbers = np.arange(len(self.vectors)) if group is None else np.arange(group, len(self.vectors), GROUPS)
        similarity = self.vectors[numbers] @ query
        return [int(numbers[place]) for place in np.argsort(-similarity)[:limit]]

    def first(self, count: int) -> "Rows":
        """The same with fewer events."""
        return Rows(self.vectors[:count], self.seed)

    def timestamp(self, number: int) -> datetime:
        """Months take turns, so that all partitions grow alike."""
        month = number % MONTHS + 1
        return _START.replace(month=month) + timedelta(seconds=(number // MONTHS) % (28 * 86400))

    def content(self, number: int) -> dict[str, Any]:
        """A sentence."""
        picked = [_WORDS[(number * step + number // 7) % len(_WORDS)] for step in (1, 5, 7, 11)]
        return {"text": f"event {number}: {' '.join(picked)}"}

    def metadata(self, number: int) -> dict[str, Any]:
        """Its group."""
        return {"group": number % GROUPS}

    def records(self, numbers: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """Rows for COPY, in the order of COLUMNS."""
        for number in numbers:
            content = self.content(number)
            words = words_of(content["text"])
            yield (
                identity(number), self.timestamp(number), content, self.metadata(number), self.vectors[number],
                "EMBEDDED", list(words.terms), list(words.counts), words.total,
            )  # fmt: skip


def identity(number: int) -> UUID:
    """The id of an event."""
    return UUID(int=(7 << 76) | (2 << 62) | (number << 80) | number)


def number_of(event_id: str | UUID) -> int:
    """The event of an id."""
    return UUID(str(event_id)).int & 0xFFFFFFFF


def _cloud(random: np.random.Generator, count: int, dimension: int, seed: int) -> Matrix:
    inner = max(8, dimension // 16)
    shape = np.random.default_rng(seed).standard_normal((inner, dimension)).astype(np.float32)
    centres = random.standard_normal((_CENTRES, inner)).astype(np.float32)
    points = centres[random.integers(_CENTRES, size=count)]
    points = points + 0.7 * random.standard_normal(points.shape).astype(np.float32)
    made: Matrix = points @ shape / np.float32(inner) ** 0.5
    return made + 0.1 * random.standard_normal(made.shape).astype(np.float32)


def _normal(vectors: Matrix) -> Matrix:
    normal: Matrix = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normal
