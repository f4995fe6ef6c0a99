"""Gives events their vectors of another model."""

import asyncio
import time
from collections.abc import Sequence

from servicekit.errors import TrimemError
from store.errors import EmbedderFailedError, ReembedRefusedError
from store.events import EmbeddingSpace, Vector
from store.repositories.reembed import FilledEvent, OtherColumn, ReembedRepository, RowKey, UnfilledEvent
from store.use_cases.embedder import PASSING, Embedder, InputKind
from store.use_cases.embedding import Outcome, TextEmbedding
from store.use_cases.event_text import text_to_embed

PROBE = "Which model are you?"

#: Seconds between tries while the embedder is down: about five minutes in all.
_PAUSES = [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30, 30, 30]

NO_TEXT = "its vector was given by the caller, and it has no text that another model could embed"


async def space_of_embedder(embedder: Embedder) -> EmbeddingSpace:
    """What an embedder runs."""
    return (await embedder.embed([PROBE], InputKind.DOCUMENT)).space


class Filling:
    """Embeds the texts of events with another model and writes the vectors beside those in use.

    An event that changes meanwhile is left as it is, to be found again.
    """

    def __init__(
        self,
        repository: ReembedRepository,
        embedder: Embedder,
        space: EmbeddingSpace,
        *,
        batch: int,
        rate: float | None = None,
    ) -> None:
        """`space` is what the embedder runs; `batch` events are written at once, at most `rate` in a second."""
        self._repository = repository
        self._space = space
        self._texts = TextEmbedding(embedder, space.dimension)
        self._batch = batch
        self._rate = rate
        self._next_time = 0.0

    async def query(self, text: str) -> Vector:
        """The vector of a query."""
        vector, space = await self._texts.query(text)
        self._require(space)
        return vector

    async def batch(
        self, column: OtherColumn, after: RowKey | None, *, keep_position: bool
    ) -> tuple[int, RowKey | None]:
        """Fill some events behind `after`: how many there were, and the last of them.

        With `keep_position` that is recorded as far as the first pass got.
        """
        events = await self._repository.unfilled(column, after, self._batch)
        if not events:
            return 0, after
        last = events[-1].key
        filled = await self._embed(events)
        await self._repository.fill(column, filled, self._space, last if keep_position else None)
        await self._keep_pace(len(events))
        return len(events), last

    async def catch_up(self, column: OtherColumn) -> None:
        """Fill what is missing, but for the few events that are written while the last batch is filled."""
        after: RowKey | None = None
        count = self._batch
        while count == self._batch:
            count, last = await self.batch(column, after, keep_position=False)
            # The next model's refusals are recorded, and not found again; the old one's would be, for ever.
            after = last if column is OtherColumn.OLD else None

    async def _embed(self, events: Sequence[UnfilledEvent]) -> list[FilledEvent]:
        texts = {place: text for place, one in enumerate(events) if (text := text_to_embed(one.content)) is not None}
        outcomes = dict(zip(texts, await self._outcomes(list(texts.values())), strict=True))
        return [_filled(event, outcomes.get(place)) for place, event in enumerate(events)]

    async def _outcomes(self, texts: Sequence[str]) -> list[Outcome]:
        """Vectors, or refusals that stay. Waits for an embedder that is down, but not for ever."""
        trouble: TrimemError | None = None
        for pause in _PAUSES:
            embedded = await self._texts.documents(texts)
            self._require(embedded.space)
            trouble = next((one for one in embedded.outcomes if isinstance(one, PASSING)), None)
            if trouble is None:
                return embedded.outcomes
            if isinstance(trouble, EmbedderFailedError) and await self._works():
                return await self._apart(texts, trouble)
            await asyncio.sleep(pause)
        raise trouble or ReembedRefusedError("the embedder does not answer")

    async def _apart(self, texts: Sequence[str], trouble: TrimemError) -> list[Outcome]:
        """One of the texts breaks the embedder: find it."""
        if len(texts) == 1:
            return [trouble]
        middle = len(texts) // 2
        return await self._outcomes(texts[:middle]) + await self._outcomes(texts[middle:])

    async def _works(self) -> bool:
        try:
            await self._texts.query(PROBE)
        except PASSING:
            return False
        return True

    def _require(self, space: EmbeddingSpace | None) -> None:
        if space is not None and space.fingerprint != self._space.fingerprint:
            raise ReembedRefusedError(
                f"the embedder changed its model on the way, from {self._space.describe()} to {space.describe()}"
            )

    async def _keep_pace(self, count: int) -> None:
        if self._rate is None:
            return
        now = time.monotonic()
        self._next_time = max(self._next_time, now) + count / self._rate
        await asyncio.sleep(self._next_time - now)


def _filled(event: UnfilledEvent, outcome: Outcome | None) -> FilledEvent:
    if outcome is None:
        return FilledEvent(event, error=NO_TEXT)
    if isinstance(outcome, TrimemError):
        return FilledEvent(event, error=outcome.message)
    return FilledEvent(event, outcome)
