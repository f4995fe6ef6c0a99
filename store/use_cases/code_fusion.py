"""One order of all chunks that a search found: by code, text, names, or all. docs/adr/0015 says why so."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from store.repositories.code_search import CodeCandidate, CodeCandidates


class Shares(NamedTuple):
    """How much of the score of a fused search each arm is; together 1."""

    code: float
    text: float
    words: float


#: For a question, and for a piece of code, which says nothing to a model of prose and has the words that are wanted.
OF_QUESTIONS = Shares(0.25, 0.15, 0.6)
OF_CODE = Shares(0.05, 0.0, 0.95)

#: What being called like the query counts, beside all of the above: more than they do.
NAMED = 1.5

#: What a similarity is measured against: that of the chunk at this place by similarity.
_FLOOR_PLACE = 200
#: Where all similarities are within less than this, they tell nothing.
_LEAST_SPREAD = 0.1


class CodeSearchMode(StrEnum):
    """What a search compares."""

    FUSED = "FUSED"
    CODE = "CODE"
    TEXT = "TEXT"
    NAMES = "NAMES"


class ScoredChunk(NamedTuple):
    """A hit without its chunk; see CodeHit."""

    id: UUID
    score: float
    code_similarity: float
    text_similarity: float
    names_score: float


@dataclass(frozen=True, slots=True)
class CodeRanking:
    """Hits, best first, and the score that a chunk which was not looked at may have; 0 when all were."""

    hits: Sequence[ScoredChunk]
    unseen: float


def rank(candidates: CodeCandidates, mode: CodeSearchMode, shares: Shares = OF_QUESTIONS) -> CodeRanking:
    """Order candidates; `shares` are those of the mode FUSED."""
    score = _Score(candidates, mode, shares)
    hits = [
        ScoredChunk(one.id, score.of(one), one.code or 0.0, one.text or 0.0, one.words)
        for one in candidates.found
        if score.compares(one)
    ]
    hits.sort(key=lambda hit: (-hit.score, hit.id))
    return CodeRanking(hits, score.unseen())


class _Score:
    """The score of candidates, in [0, 1]."""

    def __init__(self, candidates: CodeCandidates, mode: CodeSearchMode, shares: Shares) -> None:
        self._mode = mode
        self._shares = shares
        self._candidates = candidates
        self._code = _Scale([one.code for one in candidates.found])
        self._text = _Scale([one.text for one in candidates.found])

    def compares(self, candidate: CodeCandidate) -> bool:
        """Whether the mode can say anything about it."""
        match self._mode:
            case CodeSearchMode.CODE:
                return candidate.code is not None
            case CodeSearchMode.TEXT:
                return candidate.text is not None
            case CodeSearchMode.NAMES:
                return candidate.words > 0 or candidate.named > 0
        return True

    def of(self, one: CodeCandidate) -> float:
        """Of a candidate."""
        match self._mode:
            case CodeSearchMode.CODE:
                return ((one.code or 0.0) + 1) / 2
            case CodeSearchMode.TEXT:
                return ((one.text or 0.0) + 1) / 2
            case CodeSearchMode.NAMES:
                return self._named(self._words(one.words), one.named)
        return self._fused(self._code.of(one.code), self._text.of(one.text), one.words, one.named)

    def unseen(self) -> float:
        """What a chunk that was not looked at may score; 0 when all were looked at."""
        words, near = self._candidates.unseen_words, float(self._candidates.may_miss_nearest)
        if named := self._candidates.unseen_named:  # and what is called so may have all the words as well
            words = self._candidates.best_words
        match self._mode:
            case CodeSearchMode.CODE | CodeSearchMode.TEXT:
                return near
            case CodeSearchMode.NAMES:
                return self._named(self._words(words), named)
        # What is near enough to count was found, unless a limit was in the way.
        return self._fused(near, near, words, named) if words or near or named else 0.0

    def _fused(self, code: float, text: float, words: float, named: float) -> float:
        shares = self._shares
        return self._named(shares.code * code + shares.text * text + shares.words * self._words(words), named)

    def _words(self, words: float) -> float:
        best = self._candidates.best_words
        return min(1.0, words / best) if best > 0 else 0.0

    def _named(self, score: float, named: float) -> float:
        return (score + NAMED * named) / (1 + NAMED)


class _Scale:
    """Where similarities lie between the floor, 0, and the best, 1."""

    def __init__(self, similarities: Sequence[float | None]) -> None:
        known = sorted((one for one in similarities if one is not None), reverse=True)
        self._best = known[0] if known else 0.0
        self._spread = max(_LEAST_SPREAD, self._best - known[:_FLOOR_PLACE][-1]) if known else 1.0

    def of(self, similarity: float | None) -> float:
        if similarity is None:
            return 0.0
        return min(1.0, max(0.0, 1 - (self._best - similarity) / self._spread))
