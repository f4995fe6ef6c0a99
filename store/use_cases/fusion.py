"""One order of all candidates: by meaning, by words, or by both. docs/adr/0007 says why like this."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from store.repositories.search import Candidate, Candidates, Recency

#: Share of meaning in the score of a hybrid search; the rest is that of words.
MEANING = 0.4

#: What a similarity is measured against: that of the event at this place by similarity.
_FLOOR_PLACE = 200
#: Where all similarities are within less than this, they tell nothing.
_LEAST_SPREAD = 0.1


class SearchMode(StrEnum):
    """What a search compares."""

    HYBRID = "HYBRID"
    VECTOR = "VECTOR"
    LEXICAL = "LEXICAL"


class Scored(NamedTuple):
    """A hit without its event; see SearchHit."""

    id: UUID
    score: float
    similarity: float
    lexical_score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Hits, best first, and the score that an event which was not looked at may have; 0 when all were."""

    hits: Sequence[Scored]
    unseen: float


def rank(
    candidates: Candidates, mode: SearchMode, *, recency: Recency | None = None, least: float | None = None
) -> Ranking:
    """Order candidates; `least` is the least similarity of a hit."""
    kept = candidates.found
    if least is not None:
        kept = [one for one in kept if one.similarity is not None and one.similarity >= least]
    score = _Score(candidates, mode)
    if recency is None:
        scored = [Scored(one.id, score.of(one), one.similarity or 0.0, one.lexical_score) for one in kept]
        scored.sort(key=_worse)
    else:
        scored = _aged(kept, score, recency)
    return Ranking(scored, score.unseen(aged=recency is not None))


def _aged(kept: Sequence[Candidate], score: "_Score", recency: Recency) -> list[Scored]:
    """Hits whose scores have lost by age, best first."""
    aged = [(one, score.of(one), recency.halvings(one.time)) for one in kept]
    # By the logarithm: with a short half-life all scores may be too small for a float, and still have an order.
    aged.sort(key=lambda each: (each[2] - (math.log2(each[1]) if each[1] > 0 else -math.inf), each[0].id))
    return [
        Scored(one.id, value * 0.5**halvings, one.similarity or 0.0, one.lexical_score) for one, value, halvings in aged
    ]


def _worse(one: Scored) -> tuple[float, UUID]:
    return -one.score, one.id


class _Score:
    """The score of candidates before recency, in [0, 1]."""

    def __init__(self, candidates: Candidates, mode: SearchMode) -> None:
        self._mode = mode
        self._candidates = candidates
        self._nearest, self._spread, self._typical = 0.0, _LEAST_SPREAD, -1.0
        if mode is not SearchMode.HYBRID:
            return
        similarities = sorted((one.similarity for one in candidates.found if one.similarity is not None), reverse=True)
        self._nearest = similarities[0] if similarities else 0.0
        floor = similarities[:_FLOOR_PLACE][-1] if similarities else 0.0
        self._spread = max(_LEAST_SPREAD, self._nearest - floor)
        self._typical = _typical_similarity(candidates.found)

    def of(self, candidate: Candidate) -> float:
        """Of a candidate."""
        return self._of(candidate.similarity, candidate.lexical_score)

    def unseen(self, *, aged: bool) -> float:
        """What an event that was not looked at may score, were it new; 0 when all were looked at."""
        lexical, similarity = self._candidates.unseen_lexical_score, self._candidates.unseen_similarity
        if self._candidates.may_miss_nearest:
            return self._of(1.0, lexical)
        if lexical == 0 and not (aged and similarity > -1):
            return 0.0
        return self._of(similarity, lexical)

    def _of(self, similarity: float | None, lexical: float) -> float:
        if similarity is None:
            similarity = self._typical
        if self._mode is SearchMode.VECTOR:
            return (similarity + 1) / 2
        best = self._candidates.best_lexical_score
        words = _unit(lexical / best) if best > 0 else 0.0
        if self._mode is SearchMode.LEXICAL:
            return words
        meaning = _unit(1 - (self._nearest - similarity) / self._spread)
        return MEANING * meaning + (1 - MEANING) * words


def _typical_similarity(found: Sequence[Candidate]) -> float:
    """What events without a vector are taken for: the mean of those that were found by words, too."""
    similarities = [one.similarity for one in found if one.similarity is not None and one.lexical_score > 0]
    return sum(similarities) / len(similarities) if similarities else -1.0


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
