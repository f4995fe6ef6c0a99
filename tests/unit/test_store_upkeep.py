"""The upkeep of partitions tells how they are, and when it last succeeded, whatever fails."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from servicekit.errors import UnavailableError
from store.metrics import StoreMetrics
from store.repositories.status import Partition
from store.use_cases import upkeep
from store.use_cases.upkeep import Upkeep

END = datetime(2020, 2, 1, tzinfo=UTC)
SUCCESS = "trimem_store_upkeep_success_time_seconds"


class Partitions:
    """A repository in which steps fail."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.done: list[str] = []

    def _do(self, step: str) -> None:
        self.done.append(step)
        if step in self.broken:
            raise UnavailableError(step)

    async def ensure(self, times: Collection[datetime], *, limited: bool = True) -> frozenset[datetime]:
        self._do("ensure")
        assert not limited
        return frozenset()

    async def partitions(self) -> list[Partition]:
        self._do("partitions")
        return [Partition("events_y2020m01", None, END, rows=self.done.count("partitions"), size=0)]

    async def needed_locks(self) -> int | None:
        self._do("needed_locks")
        return None

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        yield True

    async def detach(self, name: str) -> None:
        self._do("detach")

    async def detached(self) -> list[str]:
        self._do("detached")
        return []

    async def count(self, name: str) -> int:
        raise NotImplementedError

    async def forget_keys(self, name: str) -> None:
        raise NotImplementedError

    async def drop(self, name: str) -> None:
        raise NotImplementedError

    async def forget_deleted(self, before: datetime) -> int:
        self._do("forget_deleted")
        return 0


@pytest.mark.parametrize("broken", ["ensure", "needed_locks", "detached"])
async def test_a_step_that_fails_stops_neither_the_others_nor_the_metrics(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr(upkeep, "_PAUSE", 0.001)
    registry = CollectorRegistry()
    partitions = Partitions()
    partitions.broken.add(broken)
    work = Upkeep(partitions, StoreMetrics(registry), months_ahead=1, retention_months=2).run()
    async with asyncio.timeout(10):
        task = asyncio.create_task(work)
        while partitions.done.count("partitions") < 3:
            await asyncio.sleep(0.001)
        assert "forget_deleted" in partitions.done
        assert registry.get_sample_value("trimem_store_partition_rows", {"partition": "events_y2020m01"})
        assert registry.get_sample_value(SUCCESS) == 0

        partitions.broken.clear()
        while not registry.get_sample_value(SUCCESS):
            await asyncio.sleep(0.001)
    task.cancel()
