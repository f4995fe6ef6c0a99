"""From texts to finished vectors: cache, tokens, batches, and the form that vectors leave in."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
import structlog

from embedder.batcher import Batcher
from embedder.cache import CachedEmbedding, EmbeddingCache, cache_key
from embedder.domain import InputKind
from embedder.models.engine import Engine, Tokenized, Vectors
from embedder.models.space import UnusableVectorError, VectorSpace
from embedder.waiting import Ticket, Work
from servicekit.context import deadline
from servicekit.errors import InternalError, InvalidArgumentError

#: Up to so many characters are tokenized in the event loop: it takes less time than handing them to a thread.
_SHORT_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that the slowest input of a call spent in each stage."""

    queue: float = 0.0
    tokenize: float = 0.0
    infer: float = 0.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of some inputs, in input order."""

    #: Shape [n, dimensions], rows of L2 norm 1.
    vectors: Vectors
    #: Tokens of each input, prefix and special tokens included, before truncation.
    token_counts: Sequence[int]
    #: Whether the model read only the beginning of each input.
    truncated: Sequence[bool]
    #: Whether the embedding of each input was still in memory.
    cached: Sequence[bool]
    timings: Timings = field(default_factory=Timings)


class Encoder:
    """An engine with all that is around it."""

    def __init__(
        self,
        engine: Engine,
        space: VectorSpace,
        batcher: Batcher,
        *,
        revision: str,
        cache: EmbeddingCache,
        aside: Executor,
    ) -> None:
        """`revision` is the commit of a hub model, else empty. `aside` runs what would hold up the event loop."""
        self.engine = engine
        self.space = space
        self.revision = revision
        self.batcher = batcher
        self._cache = cache
        self._aside = aside
        self._fingerprints: dict[int, str] = {}
        self._log = structlog.get_logger("models")

    async def encode(
        self,
        texts: Sequence[str],
        *,
        kind: InputKind,
        dimensions: int,
        reject_truncation: bool = False,
        wait_for_room: bool = False,
    ) -> Encoded:
        """Vectors of length `dimensions`, one for each text. A caller that is cancelled while waiting costs nothing.

        Raises InvalidArgumentError naming `inputs[i]` when `reject_truncation` is set and a text is too long,
        QueueFullError unless `wait_for_room` is set, and DeadlineExceededError.
        """
        fingerprint = self.fingerprint(dimensions)
        keys = [cache_key(fingerprint, kind, dimensions, text) for text in texts]
        found = [self._cache.get(key) for key in keys]
        cached = [embedding is not None for embedding in found]
        missing = {index: texts[index] for index, known in enumerate(cached) if not known}
        limit = self.engine.info.max_tokens if reject_truncation else None
        _require_short({index: embedding.token_count for index, embedding in enumerate(found) if embedding}, limit)
        timings = Timings()
        if missing:
            made, timings = await self._make(missing, kind, dimensions, limit, wait_for_room=wait_for_room)
            for index, embedding in zip(missing, made, strict=True):
                found[index] = embedding
                self._cache.put(keys[index], embedding)
        embeddings = [embedding for embedding in found if embedding is not None]
        return Encoded(
            vectors=np.stack([embedding.row for embedding in embeddings]),
            token_counts=[embedding.token_count for embedding in embeddings],
            truncated=[embedding.truncated for embedding in embeddings],
            cached=cached,
            timings=timings,
        )

    def fingerprint(self, dimensions: int) -> str:
        """Identity of the space of vectors of this length."""
        if dimensions not in self._fingerprints:
            self._fingerprints[dimensions] = self.space.fingerprint(dimensions)
        return self._fingerprints[dimensions]

    async def count(self, texts: Sequence[str], kind: InputKind) -> list[Tokenized]:
        """The tokens of texts, prefix and special tokens included. Raises QueueFullError."""
        with await self.batcher.admit(len(texts), tokens=self._about(texts), wait=False):
            return await self._tokenize(texts, kind)

    def _about(self, texts: Iterable[str]) -> int:
        """How many tokens the model will read, before anybody knows: a token is about four characters."""
        most = self.engine.info.max_tokens
        return sum(min(most, 1 + len(text) // 4) for text in texts)

    async def _tokenize(self, texts: Sequence[str], kind: InputKind) -> list[Tokenized]:
        prefix = self.space.profile.prefixes[kind]
        prefixed = [prefix + text for text in texts]
        if sum(map(len, prefixed)) <= _SHORT_CHARACTERS:
            return self.engine.tokenize(prefixed)
        return await asyncio.get_running_loop().run_in_executor(self._aside, self.engine.tokenize, prefixed)

    async def _make(
        self,
        missing: Mapping[int, str],
        kind: InputKind,
        dimensions: int,
        limit: int | None,
        *,
        wait_for_room: bool,
    ) -> tuple[list[CachedEmbedding], Timings]:
        texts = list(missing.values())
        with await self.batcher.admit(len(texts), tokens=self._about(texts), wait=wait_for_room) as admission:
            started = time.perf_counter()
            tokens = await self._tokenize(texts, kind)
            tokenized = time.perf_counter() - started
            _require_short({index: item.count for index, item in zip(missing, tokens, strict=True)}, limit)
            works = [Work((kind, text), item, kind) for text, item in zip(texts, tokens, strict=True)]
            at = deadline.get()
            ticket = await self.batcher.answer(admission, works, deadline=float("inf") if at is None else at)
        vectors = self._finish(ticket, dimensions)
        made = [
            CachedEmbedding(row.astype("<f4", copy=False).tobytes(), item.count, item.truncated)
            for row, item in zip(vectors, tokens, strict=True)
        ]
        return made, Timings(queue=ticket.queued, tokenize=tokenized, infer=ticket.inferred)

    def _finish(self, ticket: Ticket, dimensions: int) -> Vectors:
        try:
            return self.space.finish(np.stack([row for row in ticket.rows if row is not None]), dimensions)
        except UnusableVectorError as error:
            self._log.error("unusable vector", engine=self.engine.info.name, inputs=len(ticket.rows))
            raise InternalError from error


def _require_short(counts: Mapping[int, int], limit: int | None) -> None:
    for index, count in counts.items():
        if limit is not None and count > limit:
            raise InvalidArgumentError(f"inputs[{index}]", f"has {count} tokens, the model reads {limit}")
