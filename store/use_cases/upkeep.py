"""Keeps the partitions of events in order: makes those of months to come, and drops those that are too old."""

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from servicekit.errors import TrimemError
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
            try:
                if time.monotonic() >= due:
                    await self.run_once(datetime.now(UTC))
                    due = time.monotonic() + _INTERVAL
                self._observer.partitions(await self._partitions.partitions())
            except TrimemError as error:
                self._log.warning("waiting", reason=error.reason, why=error.message)
            except Exception:
                self._log.exception("unexpected")
            await asyncio.sleep(_PAUSE * random.uniform(0.5, 1))  # noqa: S311

    async def run_once(self, now: datetime) -> None:
        """Do all that is to be done now. Making comes first: what is to be dropped may have to wait for others."""
        months = [later(month_of(now), ahead) for ahead in range(self._months_ahead + 1)]
        if await self._partitions.ensure(months):
            self._log.error("months to come have no partitions: raise EVENTS_MAX_PARTITIONS")
        if needed := await self._partitions.needed_locks():
            self._log.warning("too many partitions for the database: raise max_locks_per_transaction", least=needed)
        async with self._partitions.alone() as alone:
            if not alone:
                return
            oldest = horizon(now, self._retention_months)
            if oldest is not None:
                await self._drop_before(oldest)
            if gone := await self._partitions.forget_deleted(now - DELETED_KEYS_STAY):
                self._log.info("keys of deleted events are free again", events=gone)

    async def _drop_before(self, oldest: datetime) -> None:
        for one in await self._partitions.partitions():
            if one.end_time is not None and one.end_time <= oldest:
                await self._partitions.detach(one.name)
        # Those that a process left behind that was killed are among them.
        for name in await self._partitions.detached():
            self._log.warning("dropping a partition", partition=name, events=await self._partitions.count(name))
            await self._partitions.forget_keys(name)
            await self._partitions.drop(name)
            self._log.warning("dropped a partition", partition=name)
