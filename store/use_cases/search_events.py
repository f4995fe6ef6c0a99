"""Finding events by meaning."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from servicekit.errors import InvalidArgumentError, UnimplementedError
from store.events import EmbeddingSpace, EventFilter, SearchHit, Vector
from store.repositories.search import SearchRepository
from store.use_cases.embedding import TextEmbedding
from store.use_cases.event_rules import accept_filter, accept_page_size, require_plain_text
from store.use_cases.page_bytes import PAGE_BYTES, event_bytes

DEFAULT_PAGE = 10
LARGEST_PAGE = 100
MAX_QUERY_BYTES = 16 * 1024

#: The similarity of equal vectors comes out as 1 up to float32 rounding; a limit of exactly 1 should find them.
_ROUNDING = 1e-6


class SearchMode(StrEnum):
    """What a search compares."""

    HYBRID = "HYBRID"
    VECTOR = "VECTOR"
    LEXICAL = "LEXICAL"


@dataclass(frozen=True, slots=True)
class EventSearch:
    """What to look for: either `query` or `vector`."""

    query: str = ""
    vector: Vector | None = None
    mode: SearchMode = SearchMode.HYBRID
    matching: EventFilter = field(default_factory=EventFilter)
    min_similarity: float | None = None
    page_size: int = 0


class SearchEvents:
    """Compares the vector of the query with those of the events."""

    def __init__(self, events: SearchRepository, embedding: TextEmbedding, dimension: int) -> None:
        self._events = events
        self._embedding = embedding
        self._dimension = dimension

    async def run(self, search: EventSearch) -> list[SearchHit]:
        """Hits, best first. Raises InvalidArgumentError, UnimplementedError, and what TextEmbedding.query raises."""
        if search.mode is SearchMode.LEXICAL:
            raise UnimplementedError("this version searches by meaning only: use mode VECTOR or HYBRID")
        limit = accept_page_size(search.page_size, default=DEFAULT_PAGE, most=LARGEST_PAGE)
        accept_filter(search.matching)
        least = _accept_similarity(search.min_similarity)
        vector, space = await self._vector(search)
        hits = await self._events.nearest(vector, space, search.matching, limit)
        return list(_that_fit(hit for hit in hits if hit.similarity >= least - _ROUNDING))

    async def _vector(self, search: EventSearch) -> tuple[Vector, EmbeddingSpace | None]:
        if search.vector is not None:
            if search.query:
                raise InvalidArgumentError("vector", "must not be given together with query")
            return self._accept_vector(search.vector), None
        if not search.query.strip():
            raise InvalidArgumentError("query", "must not be empty, unless a vector is given")
        size = len(search.query.encode())
        if size > MAX_QUERY_BYTES:
            raise InvalidArgumentError("query", f"must be at most {MAX_QUERY_BYTES} bytes, and has {size}")
        require_plain_text("query", search.query)
        return await self._embedding.query(search.query)

    def _accept_vector(self, vector: Vector) -> Vector:
        """The vector with length 1: the database computes in float32, where squares of large numbers are infinite."""
        if len(vector) != self._dimension:
            raise InvalidArgumentError("vector", f"must have {self._dimension} values, and has {len(vector)}")
        if not np.isfinite(vector).all():
            raise InvalidArgumentError("vector", "must consist of finite numbers")
        wide = vector.astype(np.float64)
        norm = np.linalg.norm(wide)
        if norm == 0:
            raise InvalidArgumentError("vector", "must not be zero")
        return (wide / norm).astype(np.float32)


def _that_fit(hits: Iterable[SearchHit]) -> Iterator[SearchHit]:
    """The first hits that an answer can carry; the best one always."""
    room = PAGE_BYTES
    for place, hit in enumerate(hits):
        room -= event_bytes(hit.event)
        if place and room < 0:
            return
        yield hit


def _accept_similarity(value: float | None) -> float:
    if value is None:
        return -math.inf
    if not -1 <= value <= 1:  # false for NaN too
        raise InvalidArgumentError("min_similarity", "must be in [-1, 1]")
    return value
