"""Search in memory: the fake beside PostgreSQL, and BM25 in its plainest form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from store.bm25 import Weights, weights
from store.events import EmbeddingState, Event, EventFilter, Vector
from store.repositories.memory import MemoryData
from store.repositories.search import Candidate, Candidates, Question
from store.spaces import require_same_space


@dataclass
class MemorySearch:
    """See SearchRepository."""

    data: MemoryData = field(default_factory=MemoryData)

    async def candidates(self, question: Question, matching: EventFilter, limit: int) -> Candidates:
        """See SearchRepository."""
        if question.vector is not None:
            require_same_space(self.data.recorded, question.space, has_unrecorded_vectors=bool(self.data.vectors))
        weighed = self._weigh(question.terms)
        compared = [self._compare(one, question.vector, weighed) for one in self.data.matching(matching)]
        near = sorted((one for one in compared if one.similarity is not None), key=_distance)[:limit]
        worded = [one for one in compared if one.lexical_score > 0]
        halvings = {one.id: question.recency.halvings(one.time) for one in worded} if question.recency else {}
        worded.sort(key=lambda one: (-one.lexical_score * 0.5 ** halvings.get(one.id, 0.0), one.id))
        unseen = near[-1].similarity if len(near) == limit else None
        return Candidates(
            list({one.id: one for one in (*near, *worded[:limit])}.values()),
            weighed.most,
            unseen_similarity=-1.0 if unseen is None else unseen,
        )

    async def events(self, ids: Sequence[UUID], matching: EventFilter) -> dict[UUID, Event]:
        """See SearchRepository."""
        return {one.id: one for one in self.data.matching(matching) if one.id in ids}

    def _weigh(self, terms: Sequence[int]) -> Weights:
        words = [one for one in self.data.words.values() if one.total]
        containing = {term: sum(term in one.terms for one in words) for term in terms}
        return weights(containing, len(words), sum(one.total for one in words))

    def _compare(self, event: Event, vector: Vector | None, weighed: Weights) -> Candidate:
        words = self.data.words[event.id]
        counts: Mapping[int, int] = dict(zip(words.terms, words.counts, strict=True))
        similarity = None
        if vector is not None and event.embedding_state is EmbeddingState.EMBEDDED:
            similarity = _cosine(vector, self.data.vectors[event.id])
        return Candidate(event.id, event.timestamp.timestamp(), similarity, weighed.score(counts, words.total))


def _distance(candidate: Candidate) -> tuple[float, UUID]:
    return -(candidate.similarity or 0.0), candidate.id


def _cosine(one: Vector, other: Vector) -> float:
    wide, wide_other = one.astype(np.float64), other.astype(np.float64)
    return float(np.dot(wide, wide_other) / (np.linalg.norm(wide) * np.linalg.norm(wide_other)))
