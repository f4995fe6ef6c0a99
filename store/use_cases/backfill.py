"""Embeds the events that were stored without an embedding."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from servicekit import context
from servicekit.errors import DeadlineExceededError, FailedPreconditionError, ResourceExhaustedError, TrimemError
from servicekit.jitter import jittered
from store.errors import EmbedderFailedError, TextsRefusedError
from store.events import EmbeddingSpace, EmbeddingState
from store.repositories.outbox import ClaimedEvent, Outbox, Settled
from store.use_cases.embed_events import reason_of
from store.use_cases.embedding import CALL_TEXTS, PASSING, TextEmbedding
from store.use_cases.event_text import text_to_embed

#: Seconds that a batch may be with the embedder: its events are held as long.
_CALL_SECONDS = 30.0

#: Seconds: longest pause while the embedder or the database is down, and between two log lines of the same trouble.
_LONGEST_PAUSE = 60.0

#: Seconds until a text that failed is tried again; twice as long each time.
_FIRST_RETRY = 30.0
_LONGEST_RETRY = 3600.0

#: How many more texts the next call takes after a good one.
_GROWTH = 8


class BatchOutcome(StrEnum):
    """What became of a batch."""

    #: Every event was settled, or put off because of its own text.
    DONE = "done"
    #: It failed, and a smaller one comes next, at once.
    HALVED = "halved"
    #: The embedder or the database is down, busy or slow.
    WAITING = "waiting"
    #: Somebody must do something first: another model, another schema.
    REFUSED = "refused"
    #: A fault of ours.
    ERROR = "error"


class Observer(Protocol):
    """Hears of the work done."""

    def batch(self, outcome: BatchOutcome) -> None:
        """What became of a batch."""

    def settled(self, state: EmbeddingState) -> None:
        """One event does not wait any more."""

    def attempt_failed(self) -> None:
        """A text was tried in vain, by its own fault."""


@dataclass(frozen=True, slots=True)
class _Batch:
    #: Events that were claimed.
    size: int
    settled: list[Settled]
    space: EmbeddingSpace | None
    #: What stood in the way of the events that are not settled.
    trouble: TrimemError | None


class Backfill:
    """Claims pending events, oldest first, and embeds them batch by batch.

    Several stores may do so at once, each with events of its own. A batch that fails makes the next one half as large,
    until a text that is to blame is alone in its call. Whether it is to blame shows when the embedder embeds another
    one: only then an attempt is counted. An embedder that is down costs no event an attempt.
    """

    def __init__(
        self, outbox: Outbox, embedding: TextEmbedding, observer: Observer, *, interval: float, max_attempts: int
    ) -> None:
        """`interval` in seconds is the pause when there is nothing to do."""
        self._outbox = outbox
        self._embedding = embedding
        self._observer = observer
        self._interval = interval
        self._max_attempts = max_attempts
        self._size = CALL_TEXTS
        self._next_complaint = 0.0
        self._log = structlog.get_logger("backfill")

    async def run(self) -> None:
        """Work until cancelled. Trouble makes the pauses longer, and never ends it."""
        pause = self._interval
        while True:
            outcome = await self._turn()
            if outcome is not None:
                self._observer.batch(outcome)
            if outcome in (None, BatchOutcome.DONE, BatchOutcome.HALVED):
                pause = self._interval
            else:
                pause = min(pause * 2, max(_LONGEST_PAUSE, self._interval))
            if outcome not in (BatchOutcome.DONE, BatchOutcome.HALVED):
                await asyncio.sleep(jittered(pause))

    async def run_once(self) -> int:
        """Settle one batch of events, or put them off, and return how many. Raises what stands in the way of others."""
        batch = await self._embedding.in_recorded_space(self._batch)
        if batch is None:
            return 0
        self._tell(batch.settled)
        if batch.trouble is not None:
            self._size = max(1, batch.size // 2)
            raise batch.trouble
        self._size = min(CALL_TEXTS, self._size + _GROWTH)
        return len(batch.settled)

    async def _batch(self) -> _Batch | None:
        """Claim and settle; None when there is nothing to claim."""
        async with self._outbox.claim(self._size) as claim:
            if not claim.events:
                return None
            batch = await self._embed(claim.events)
            if batch.settled:
                await claim.settle(batch.settled, batch.space)
        return batch

    async def _turn(self) -> BatchOutcome | None:
        """What became of a batch; None when there was nothing to do."""
        size = self._size
        try:
            if await self._outbox.is_paused() or not await self.run_once():
                return None
        except PASSING as error:
            if self._size < size and isinstance(error, EmbedderFailedError | DeadlineExceededError):
                return BatchOutcome.HALVED
            self._complain(error)
            return BatchOutcome.WAITING
        except FailedPreconditionError as error:
            self._complain(error)
            return BatchOutcome.REFUSED
        except Exception:
            self._log.exception("unexpected")
            return BatchOutcome.ERROR
        return BatchOutcome.DONE

    async def _embed(self, events: Sequence[ClaimedEvent]) -> _Batch:
        texts = {one.place: text for one in events if (text := text_to_embed(one.content)) is not None}
        with _time_for_a_call():
            embedded = await self._embedding.documents(list(texts.values()))
        outcomes = dict(zip(texts, embedded.outcomes, strict=True))
        settled: list[Settled] = []
        trouble: TrimemError | None = None
        for one in events:
            match outcomes.get(one.place):
                case None:
                    settled.append(Settled(one, EmbeddingState.SKIPPED, attempts=one.attempts))
                case TextsRefusedError() as error:
                    settled.append(self._parked(one, error))
                case TrimemError() as error:
                    trouble = error
                case vector:
                    settled.append(Settled(one, EmbeddingState.EMBEDDED, vector, one.attempts))
        # A busy embedder may be so for one text and not for the next, whatever they say.
        if trouble is not None and len(texts) == 1 and not isinstance(trouble, ResourceExhaustedError):
            alone = next(one for one in events if one.place in texts)
            with _time_for_a_call():
                is_to_blame = await self._embedding.embeds_others()
            if is_to_blame:
                settled.append(self._failed(alone, trouble))
                trouble = None
            elif isinstance(trouble, DeadlineExceededError):
                # It may be the text that keeps the embedder busy, so others go first; it may as well be the embedder.
                settled.append(
                    Settled(alone, EmbeddingState.PENDING, None, alone.attempts, reason_of(trouble), _retry_after(0))
                )
        return _Batch(len(events), settled, embedded.space, trouble)

    def _failed(self, event: ClaimedEvent, error: TrimemError) -> Settled:
        """Tried in vain: later again, or never."""
        attempts = event.attempts + 1
        if attempts >= self._max_attempts:
            return self._parked(event, error)
        return Settled(event, EmbeddingState.PENDING, None, attempts, reason_of(error), _retry_after(event.attempts))

    def _parked(self, event: ClaimedEvent, error: TrimemError) -> Settled:
        return Settled(event, EmbeddingState.FAILED, None, event.attempts + 1, reason_of(error))

    def _tell(self, settled: Sequence[Settled]) -> None:
        for one in settled:
            if one.attempts > one.event.attempts:
                self._observer.attempt_failed()
            if one.state is EmbeddingState.FAILED:
                self._log.warning("parked", event_id=str(one.event.id), attempts=one.attempts, why=one.error)
            if one.state is not EmbeddingState.PENDING:
                self._observer.settled(one.state)

    def _complain(self, error: TrimemError) -> None:
        now = time.monotonic()
        if now >= self._next_complaint:
            self._next_complaint = now + _LONGEST_PAUSE
            self._log.warning("waiting", reason=error.reason, why=error.message)


@contextmanager
def _time_for_a_call() -> Iterator[None]:
    token = context.deadline.set(time.monotonic() + _CALL_SECONDS)
    try:
        yield
    finally:
        context.deadline.reset(token)


def _retry_after(attempts: int) -> float:
    """Seconds until the next try of a text that had failed so many times before it did again."""
    return jittered(min(_FIRST_RETRY * 2.0**attempts, _LONGEST_RETRY))
