"""Keeps the partitions of events in order: makes those of months to come, and drops those that are too old."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from servicekit.errors import TrimemError
from servicekit.jitter import jittered
from store.partitions import horizon, later, month_of
from store.repositories.partitions import PartitionRepository
from store.repositories.status import Partition

#: Seconds between two rounds of work, and between two looks at the partitions; also the pause after trouble.
_INTERVAL = 3600.0
_PAUSE = 60.0

#: How long the id and the request_id of a deleted event stay taken.
DELETED_KEYS_STAY = timedelta(days=30)


class Observer(Protocol):
    """Hears how the partitions are."""

    def partitions(self, partitions: Sequence[Partition]) -> None:
        """All partitions."""

    def upkeep_succeeded(self) -> None:
        """A round of work is done."""


class Upkeep:
    """Looks after the partitions. Several stores may do so at once: what one has done, the others find done."""

    def __init__(
        self, partitions: PartitionRepository, observer: Observer, *, months_ahead: int, retention_months: int
    ) -> None:
        """Months to make beside the current one, and to keep beside it; no `retention_months` keeps all."""
        self._partitions = partitions
        self._observer = observer
        self._months_ahead = months_ahead
        self._retention_months = retention_months
        self._log = structlog.get_logger("upkeep")

    async def run(self) -> None:
        """Work until cancelled. Trouble never ends it."""
        due = time.monotonic()
        while True:
            if time.monotonic() >= due and await self._tried(lambda: self.run_once(datetime.now(UTC))):
                due = time.monotonic() + _INTERVAL
                self._observer.upkeep_succeeded()
            await self._tried(self._observe)
            await asyncio.sleep(jittered(_PAUSE))

    async def run_once(self, now: datetime) -> None:
        """Do all that is to be done now, also when a part of it fails; raises what the first of them raised.

        Making comes first: what is to be dropped may have to wait for others.
        """
        await self._each(lambda: self._make(now), self._warn, lambda: self._tidy_up(now))

    async def _each(self, *steps: Callable[[], Awaitable[None]]) -> None:
        first: Exception | None = None
        for step in steps:
            try:
                await step()
            except Exception as error:
                if first is not None:
                    self._log.warning("failed, too", why=str(error))
                first = first or error
        if first is not None:
            raise first

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except TrimemError as error:
            self._log.warning("waiting", reason=error.reason, why=error.message)
        except Exception:
            self._log.exception("unexpected")
        else:
            return True
        return False

    async def _observe(self) -> None:
        self._observer.partitions(await self._partitions.partitions())

    async def _make(self, now: datetime) -> None:
        """No limit: however many months others made, events of those to come find theirs."""
        months = [later(month_of(now), ahead) for ahead in range(self._months_ahead + 1)]
        await self._partitions.ensure(months, limited=False)

    async def _warn(self) -> None:
        if needed := await self._partitions.needed_locks():
            self._log.warning("too many partitions for the database: raise max_locks_per_transaction", least=needed)

    async def _tidy_up(self, now: datetime) -> None:
        async with self._partitions.alone() as alone:
            if alone:
                await self._each(lambda: self._drop(now), lambda: self._forget(now))

    async def _forget(self, now: datetime) -> None:
        if gone := await self._partitions.forget_deleted(now - DELETED_KEYS_STAY):
            self._log.info("keys of deleted events are free again", events=gone)

    async def _drop(self, now: datetime) -> None:
        oldest = horizon(now, self._retention_months)
        if oldest is None:
            return
        await self._partitions.detached()  # an interrupted detachment keeps all others from beginning
        for one in await self._partitions.partitions():
            if one.end_time is not None and one.end_time <= oldest:
                await self._partitions.detach(one.name)
        # Those that a process left behind that was killed are among them.
        for name in await self._partitions.detached():
            self._log.warning("dropping a partition", partition=name, events=await self._partitions.count(name))
            await self._partitions.forget_keys(name)
            await self._partitions.drop(name)
            self._log.warning("dropped a partition", partition=name)
