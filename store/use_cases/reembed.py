"""Changes the model of the stored vectors while they are read and written."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from servicekit import tasks
from store.errors import ReembedRefusedError
from store.events import EmbeddingSpace, ReembedPhase
from store.repositories.reembed import OtherColumn, ReembedJob, ReembedRepository, RowKey
from store.repositories.spaces import SpaceRepository
from store.use_cases.embedder import Embedder, InputKind
from store.use_cases.event_text import text_to_embed
from store.use_cases.reembed_filling import Filling, space_of_embedder

#: HNSW indexes of `vector` take no more.
_MOST_DIMENSIONS = 2000

#: Events without a vector of the new model that the exchange leaves to the backfill: those of the last moment.
MOST_UNFILLED = 100

#: Rounds of filling the last events and trying the exchange.
_SWAP_ROUNDS = 50

#: Queries that measure the recall of the new index, their words, and hits of each.
_QUERIES = 50
_QUERY_WORDS = 8
_HITS = 10
#: Distances that differ by less are equal.
_ROUNDING = 1e-6

#: Seconds between looks at how far an index is.
_LOOK = 0.5


class ReembedObserver(Protocol):
    """Hears how far the work is."""

    def begin(self, phase: ReembedPhase, total: int) -> None:
        """A phase begins, with so much to do; 0 when that is not known."""

    def progress(self, done: int, total: int | None = None) -> None:
        """So much of the phase is done, and to be done when that is better known now."""


@dataclass(frozen=True, slots=True)
class ReembedOptions:
    """How the model is changed."""

    #: Events that are read, embedded and written at once.
    batch: int = 256
    #: Most events a second; None for as many as the embedder makes.
    rate: float | None = None
    #: Least recall@10 that the new index must have.
    min_recall: float = 0.95
    #: Whether the columns are exchanged at the end.
    swap: bool = True


@dataclass(frozen=True, slots=True)
class ReembedPlan:
    """What a change of the model would do."""

    space: EmbeddingSpace
    other_space: EmbeddingSpace
    #: Events, estimated.
    events: int
    #: Bytes that the vectors and their index take, about.
    bytes: int
    #: Seconds that embedding takes, from that of a few events; None without any.
    seconds: float | None


class Reembed:
    """Fills a second column with vectors of the embedder's model, and puts it in the place of the first one.

    May be stopped at any moment, and be run again: it goes on where it was.
    """

    def __init__(
        self,
        repository: ReembedRepository,
        spaces: SpaceRepository,
        embedder: Embedder,
        observer: ReembedObserver,
        options: ReembedOptions,
    ) -> None:
        self._repository = repository
        self._spaces = spaces
        self._embedder = embedder
        self._observer = observer
        self._options = options

    async def plan(self) -> ReembedPlan:
        """What `run` would do; changes nothing."""
        space = await space_of_embedder(self._embedder)
        current, _ = await self._require(space)
        events = await self._repository.estimate()
        contents = await self._spaces.sample(_QUERIES)
        texts = [text for one in contents if (text := text_to_embed(one.content)) is not None]
        began = time.perf_counter()
        if texts:
            await self._embedder.embed(texts, InputKind.DOCUMENT)
        seconds = (time.perf_counter() - began) / len(texts) * events if texts else None
        # The vector in the table, and once more in the index.
        return ReembedPlan(current, space, events, 2 * 4 * space.dimension * events, seconds)

    async def run(self) -> ReembedJob:
        """Change the model, and return the job as it ends: SWAPPED, or READY when no exchange was asked for.

        Raises ReembedRefusedError, and what the embedder and the database raise.
        """
        space = await space_of_embedder(self._embedder)
        _, job = await self._require(space)
        if job is None:
            await self._repository.begin(space)
        filling = Filling(self._repository, self._embedder, space, batch=self._options.batch, rate=self._options.rate)
        while True:
            job = await self._job()
            match job.phase:
                case ReembedPhase.FILLING:
                    await self._fill(filling, job.position)
                case ReembedPhase.INDEXING:
                    await self._index(filling)
                case ReembedPhase.VERIFYING:
                    await self._verify(filling)
                case ReembedPhase.READY if self._options.swap:
                    await self._swap(filling)
                case _:
                    return job

    async def _job(self) -> ReembedJob:
        job = await self._repository.job()
        if job is None:
            raise ReembedRefusedError("somebody abandoned the change of the model on the way")
        return job

    async def _require(self, space: EmbeddingSpace) -> tuple[EmbeddingSpace, ReembedJob | None]:
        """The space of the stored vectors and the unfinished job; refuses what does not go together."""
        current = await self._spaces.space()
        if current is None:
            raise ReembedRefusedError(
                "no model is recorded for the stored vectors. Record the one that made them with `python -m store "
                "adopt-space`; without vectors there is nothing to change: the first write records its model"
            )
        job = await self._repository.job()
        if job is not None and job.phase is ReembedPhase.SWAPPED:
            if space.fingerprint == current.fingerprint:
                return current, job
            raise ReembedRefusedError(
                f"the vectors of {job.other_space.describe()} from before the last change are still there: drop them "
                "with `python -m store reembed --drop-old`, or take them back with `--rollback`"
            )
        if job is not None and job.other_space.fingerprint != space.fingerprint:
            raise ReembedRefusedError(
                f"an unfinished change is to {job.other_space.describe()}, and the embedder runs {space.describe()}: "
                "give --embedder one that runs the former, or give the change up with `python -m store reembed "
                "--abandon`"
            )
        if space.fingerprint == current.fingerprint:
            raise ReembedRefusedError(f"the stored vectors are those of {space.describe()} already")
        if space.dimension > _MOST_DIMENSIONS:
            raise ReembedRefusedError(
                f"{space.describe()} makes longer vectors than an index takes: {_MOST_DIMENSIONS} at most"
            )
        return current, job

    async def _fill(self, filling: Filling, position: RowKey | None) -> None:
        self._observer.begin(ReembedPhase.FILLING, await self._repository.estimate())
        done = (await self._repository.counts(OtherColumn.NEXT)).filled
        self._observer.progress(done)
        count = 1
        while count:
            count, position = await filling.batch(OtherColumn.NEXT, position, keep_position=True)
            done += count
            self._observer.progress(done)
        await self._repository.set_phase(ReembedPhase.INDEXING)

    async def _index(self, filling: Filling) -> None:
        """Index what is unfilled, so that it is found fast from now on, fill it, and index the vectors."""
        self._observer.begin(ReembedPhase.INDEXING, 0)
        await self._repository.index_unfilled(OtherColumn.NEXT)
        await filling.catch_up(OtherColumn.NEXT)
        watching = asyncio.create_task(self._watch())
        try:
            await self._repository.index_vectors()
        finally:
            await tasks.cancel(watching)
        await self._repository.set_phase(ReembedPhase.VERIFYING)

    async def _watch(self) -> None:
        while True:
            self._observer.progress(*await self._repository.index_progress())
            await asyncio.sleep(_LOOK)

    async def _verify(self, filling: Filling) -> None:
        """Compare what the new index finds with what is nearest, and count."""
        await filling.catch_up(OtherColumn.NEXT)
        counts = await self._repository.counts(OtherColumn.NEXT)
        if counts.missing > max(MOST_UNFILLED, counts.embedded // 100):
            raise ReembedRefusedError(
                f"{counts.missing} of {counts.embedded} events came meanwhile and have no vector of the new model: "
                "events are written faster than the new embedder embeds them. Run the command again"
            )
        contents = await self._repository.sample(_QUERIES)
        self._observer.begin(ReembedPhase.VERIFYING, len(contents))
        found = expected = 0
        for done, content in enumerate(contents, start=1):
            words = (text_to_embed(content) or "").split()[:_QUERY_WORDS]
            if words:
                by_index, exact = await self._repository.nearest(await filling.query(" ".join(words)), _HITS)
                found += sum(distance <= exact[-1] + _ROUNDING for distance in by_index)
                expected += len(exact)
            self._observer.progress(done)
        recall = found / expected if expected else 1.0
        if recall < self._options.min_recall:
            raise ReembedRefusedError(
                f"recall@{_HITS} of the new index is {recall:.3f} over {len(contents)} queries, less than "
                f"{self._options.min_recall}: nothing was exchanged. Lower --min-recall, "
                "or REINDEX INDEX CONCURRENTLY ix_events_next_embedding, and run the command again"
            )
        await self._repository.set_phase(ReembedPhase.READY, recall)

    async def _swap(self, filling: Filling) -> None:
        self._observer.begin(ReembedPhase.READY, 0)
        for _ in range(_SWAP_ROUNDS):
            await filling.catch_up(OtherColumn.NEXT)
            if await self._repository.swap(MOST_UNFILLED):
                return
        raise ReembedRefusedError(
            "events are written faster than the new embedder embeds them: run the command again in a quieter hour"
        )
