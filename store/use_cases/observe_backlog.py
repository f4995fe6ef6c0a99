"""Tells the metrics how much waits, whatever happens to the work itself."""

import asyncio
import contextlib
from typing import Protocol

from servicekit.errors import TrimemError
from store.repositories.outbox import Backlog, Outbox

#: Seconds between two looks: metrics are read every 15 to 60.
_INTERVAL = 10.0


class Observer(Protocol):
    """Hears how much waits."""

    def backlog(self, backlog: Backlog) -> None:
        """How much waits."""


class ObserveBacklog:
    """Counts now and then: also while the backfill is paused, waits for the embedder, or is switched off."""

    def __init__(self, outbox: Outbox, observer: Observer, interval: float = _INTERVAL) -> None:
        self._outbox = outbox
        self._observer = observer
        self._interval = interval

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            # When the database does not answer, health says so; this would say it again and again.
            with contextlib.suppress(TrimemError):
                self._observer.backlog(await self._outbox.backlog())
            await asyncio.sleep(self._interval)
