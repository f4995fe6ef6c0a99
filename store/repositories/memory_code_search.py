"""Search for code in memory: the fake beside PostgreSQL, where each arm looks at all chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from store.bm25 import Weights, weights
from store.code.source import StoredChunk
from store.code.stored import NewChunk
from store.errors import CodeSpaceMismatchError
from store.events import Vector
from store.repositories.code_search import CodeCandidate, CodeCandidates, CodeFilter, CodeQuestion
from store.repositories.memory_code import MemoryCodeData, stored_chunk
from store.spaces import CODE_COLUMN, CODE_TEXT_COLUMN


@dataclass
class MemoryCodeSearch:
    """See CodeSearchRepository. It counts words as they are now, and not as of the last commit."""

    data: MemoryCodeData = field(default_factory=MemoryCodeData)

    async def candidates(self, question: CodeQuestion, matching: CodeFilter, limit: int) -> CodeCandidates:
        """See CodeSearchRepository."""
        for column, meaning in ((CODE_COLUMN, question.code), (CODE_TEXT_COLUMN, question.text)):
            stored = self.data.spaces.get(column)
            if meaning is not None and stored is not None and stored.fingerprint != meaning.space.fingerprint:
                raise CodeSpaceMismatchError(column, stored, meaning.space)
        weighed = self._weigh(question.terms, matching.repository)
        compared = [_compare(new, question, weighed) for _, new in self._matching(matching)]
        found: dict[UUID, CodeCandidate] = {}
        for arm in ("code", "text", "words", "named"):
            best = sorted((one for one in compared if getattr(one, arm)), key=lambda one: (-getattr(one, arm), one.id))
            found |= {one.id: one for one in best[:limit]}
        return CodeCandidates([*found.values()], weighed.most)

    async def chunks(self, ids: Sequence[UUID], matching: CodeFilter) -> dict[UUID, StoredChunk]:
        """See CodeSearchRepository."""
        return {stored.id: stored for stored, _ in self._matching(matching) if stored.id in ids}

    def _matching(self, matching: CodeFilter) -> list[tuple[StoredChunk, NewChunk]]:
        return [
            (stored_chunk(repository, file, new), new)
            for (repository, path), (file, _) in self.data.files.items()
            if matching.repository in ("", repository) and matching.path.matches(path)
            if not matching.languages or file.language in matching.languages
            for new in file.chunks
            if not matching.kinds or not {new.chunk.kind, *new.chunk.kinds}.isdisjoint(matching.kinds)
        ]

    def _weigh(self, terms: Sequence[int], repository: str) -> Weights:
        words = [new.words for _, new in self._matching(CodeFilter(repository))]
        containing = {term: sum(term in one.terms for one in words) for term in terms}
        return weights(containing, len(words), sum(one.total for one in words))


def _compare(new: NewChunk, question: CodeQuestion, weighed: Weights) -> CodeCandidate:
    counts: Mapping[int, int] = dict(zip(new.words.terms, new.words.counts, strict=True))
    code = text = None
    if new.vectors is not None:
        code = None if question.code is None else _cosine(question.code.vector, new.vectors.code)
        text = None if question.text is None else _cosine(question.text.vector, new.vectors.text)
    named = max((share for name, share in question.names.items() if name in new.names), default=0.0)
    return CodeCandidate(new.id, code, text, weighed.score(counts, new.words.total), named)


def _cosine(one: Vector, other: Vector) -> float:
    wide, wide_other = one.astype(np.float64), other.astype(np.float64)
    return float(np.dot(wide, wide_other) / (np.linalg.norm(wide) * np.linalg.norm(wide_other)))
