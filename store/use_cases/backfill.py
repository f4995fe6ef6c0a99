"""Embeds the events that were stored without an embedding."""

import asyncio
import random
import time
from typing import Protocol

import structlog

from servicekit.errors import FailedPreconditionError, TrimemError
from store.errors import TextsRefusedError
from store.events import EmbeddingState
from store.repositories.outbox import Outbox, Settled
from store.use_cases.embedding import CALL_TEXTS, PASSING, TextEmbedding
from store.use_cases.event_text import text_to_embed

#: Seconds: longest pause while the embedder or the database is down, and between two log lines of the same trouble.
_LONGEST_PAUSE = 60.0


class Observer(Protocol):
    """Hears of the work done."""

    def pending(self, count: int) -> None:
        """So many events wait."""

    def settled(self, state: EmbeddingState) -> None:
        """One event does not wait any more."""


class Backfill:
    """Looks for pending events, oldest first, and embeds them batch by batch.

    Several stores may do so at once: the one that comes second finds the event settled and leaves it.
    """

    def __init__(self, outbox: Outbox, embedding: TextEmbedding, observer: Observer, interval: float) -> None:
        """`interval` in seconds is the pause when there is nothing to do."""
        self._outbox = outbox
        self._embedding = embedding
        self._observer = observer
        self._interval = interval
        self._next_complaint = 0.0
        self._log = structlog.get_logger("backfill")

    async def run(self) -> None:
        """Work until cancelled. Trouble makes the pauses longer, and never ends it."""
        pause = self._interval
        while True:
            try:
                settled = await self.run_once()
                self._observer.pending(await self._outbox.count_pending())
            except PASSING as error:
                pause = min(pause * 2, max(_LONGEST_PAUSE, self._interval))
                self._complain(error)
            except FailedPreconditionError as error:  # somebody must do something first
                pause = max(_LONGEST_PAUSE, self._interval)
                self._complain(error)
            except Exception:
                pause = min(pause * 2, max(_LONGEST_PAUSE, self._interval))
                self._log.exception("unexpected")
            else:
                pause = self._interval
                if settled == CALL_TEXTS:  # there are more
                    continue
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311

    async def run_once(self) -> int:
        """Settle one batch of events and return how many. Raises what stands in the way of all of them."""
        pending = await self._outbox.pending(CALL_TEXTS)
        if not pending:
            return 0
        texts = {place: text for place, one in enumerate(pending) if (text := text_to_embed(one.content)) is not None}
        embedded = await self._embedding.documents(list(texts.values()))
        outcomes = dict(zip(texts, embedded.outcomes, strict=True))
        settled: list[Settled] = []
        trouble: TrimemError | None = None
        for place, one in enumerate(pending):
            outcome = outcomes.get(place)
            if outcome is None:
                settled.append(Settled(one, EmbeddingState.SKIPPED))
            elif isinstance(outcome, TextsRefusedError):
                settled.append(Settled(one, EmbeddingState.FAILED))
            elif isinstance(outcome, TrimemError):
                trouble = outcome
            else:
                settled.append(Settled(one, EmbeddingState.EMBEDDED, outcome))
        if settled:
            await self._outbox.settle(settled, embedded.space)
        for done in settled:
            self._observer.settled(done.state)
        if trouble is not None:
            raise trouble
        return len(settled)

    def _complain(self, error: TrimemError) -> None:
        now = time.monotonic()
        if now >= self._next_complaint:
            self._next_complaint = now + _LONGEST_PAUSE
            self._log.warning("waiting", reason=error.reason, why=error.message)
