"""Finds the words of events that were stored before the store looked for words."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from servicekit.errors import TrimemError
from servicekit.jitter import jittered
from store.events import Json, Words
from store.repositories.words import WordsRepository
from store.use_cases.event_text import text_to_embed
from store.use_cases.words import words_of

#: Events of one turn.
BATCH = 100

#: Seconds between two batches: others come first, and this may take its time.
_BREATH = 0.2

#: Seconds between two counts of what is left, which reads an index that may be large.
_COUNTED = 60.0


class Observer(Protocol):
    """Hears how much is left."""

    def without_words(self, count: int) -> None:
        """So many events have no words yet."""


class FillWords:
    """Works through events without words, oldest first, until there are none left; then looks now and then.

    Several stores may do so at once, each with events of its own. What is filled stays, so it goes on from there after
    any end.
    """

    def __init__(self, repository: WordsRepository, observer: Observer, interval: float) -> None:
        """`interval` in seconds is the pause when there is nothing to do."""
        self._repository = repository
        self._observer = observer
        self._interval = interval
        self._next_count = 0.0
        self._log = structlog.get_logger("words")

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            pause = self._interval
            try:
                if await self.run_once():
                    pause = _BREATH
                await self._count()
            except TrimemError as error:
                self._log.warning("waiting", reason=error.reason, why=error.message)
            except Exception:
                self._log.exception("unexpected")
            await asyncio.sleep(jittered(pause))

    async def run_once(self) -> int:
        """Fill the words of one batch of events and return how many there were."""
        async with self._repository.claim_without_words(BATCH) as claim:
            if claim.contents:
                # Aside, because a long text takes a while.
                await claim.fill(await asyncio.to_thread(_words, claim.contents))
        return len(claim.contents)

    async def _count(self) -> None:
        if time.monotonic() >= self._next_count:
            self._next_count = time.monotonic() + _COUNTED
            self._observer.without_words(await self._repository.count_without_words())


def _words(contents: Sequence[Json]) -> list[Words]:
    return [words_of(text_to_embed(one) or "") for one in contents]
