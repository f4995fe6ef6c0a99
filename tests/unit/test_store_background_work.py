"""What the store does in the background beside embedding, and what its metrics say of all that."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from store.errors import DatabaseUnavailableError
from store.events import EmbeddingState, Json, Words
from store.metrics import StoreMetrics
from store.repositories.memory_outbox import MemoryOutbox
from store.repositories.outbox import Backlog
from store.repositories.status import PoolUse
from store.use_cases import fill_words, observe_backlog
from store.use_cases.backfill import BatchOutcome
from store.use_cases.fill_words import FillWords
from store.use_cases.observe_backlog import ObserveBacklog
from store.use_cases.words import words_of


class Unread:
    """Events without words, in memory."""

    def __init__(self, *contents: Json) -> None:
        self.waiting = list(contents)
        self.filled: list[Words] = []
        self.trouble: Exception | None = None
        self.contents: Sequence[Json] = ()

    @asynccontextmanager
    async def claim_without_words(self, limit: int) -> AsyncIterator["Unread"]:
        """See WordsRepository."""
        if self.trouble is not None:
            raise self.trouble
        self.contents = self.waiting[:limit]
        yield self

    async def fill(self, words: Sequence[Words]) -> None:
        """See WordsClaim."""
        self.filled += words
        del self.waiting[: len(words)]

    async def count_without_words(self) -> int:
        """See WordsRepository."""
        return len(self.waiting)


class Gauge:
    """Hears counts."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.backlogs: list[Backlog] = []

    def without_words(self, count: int) -> None:
        """See FillWords."""
        self.counts.append(count)

    def backlog(self, backlog: Backlog) -> None:
        """See ObserveBacklog."""
        self.backlogs.append(backlog)


def ending_after(turns: int, pauses: list[float]) -> SimpleNamespace:
    """An asyncio whose sleeps take no time, and of which the last one is cancelled."""

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == turns:
            raise asyncio.CancelledError

    return SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread)


async def test_words_are_those_of_the_text_that_is_embedded() -> None:
    repository = Unread({"text": "red apples"}, {"b": "two", "a": "one"}, {"n": 1})

    assert await FillWords(repository, Gauge(), 5).run_once() == 3

    assert repository.filled == [words_of("red apples"), words_of("one\ntwo"), Words()]


async def test_filling_words_takes_a_breath_between_batches_and_a_pause_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository, gauge, pauses = Unread(*({"text": f"text {n}"} for n in range(250))), Gauge(), list[float]()
    monkeypatch.setattr(fill_words, "asyncio", ending_after(4, pauses))

    with pytest.raises(asyncio.CancelledError):
        await FillWords(repository, gauge, 60).run()

    assert len(repository.filled) == 250
    assert all(pause < 1 for pause in pauses[:3])
    assert 30 <= pauses[3] <= 60
    assert gauge.counts == [150]  # counted once a minute


async def test_filling_words_goes_on_when_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, pauses = Unread({"text": "one"}), list[float]()
    repository.trouble = DatabaseUnavailableError("gone")
    monkeypatch.setattr(fill_words, "asyncio", ending_after(2, pauses))
    fill = FillWords(repository, Gauge(), 5)
    with pytest.raises(asyncio.CancelledError):
        await fill.run()
    assert repository.filled == []

    repository.trouble = None
    monkeypatch.setattr(fill_words, "asyncio", ending_after(1, []))
    with pytest.raises(asyncio.CancelledError):
        await fill.run()

    assert repository.filled == [words_of("one")]


async def test_the_backlog_is_observed_whatever_the_database_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flaky(MemoryOutbox):
        looks = 0

        async def backlog(self) -> Backlog:
            self.looks += 1
            if self.looks == 1:
                raise DatabaseUnavailableError("gone")
            return await super().backlog()

    gauge = Gauge()
    monkeypatch.setattr(observe_backlog, "asyncio", ending_after(2, []))
    with pytest.raises(asyncio.CancelledError):
        await ObserveBacklog(Flaky(), gauge).run()

    assert gauge.backlogs == [Backlog(0, 0, None)]


def test_metrics_say_what_waits_and_what_became_of_it() -> None:
    registry = CollectorRegistry()
    metrics = StoreMetrics(registry)
    metrics.backlog(Backlog(3, 2, datetime.now(UTC) - timedelta(hours=1)))
    metrics.without_words(7)
    metrics.settled(EmbeddingState.FAILED)
    metrics.batch(BatchOutcome.HALVED)
    metrics.attempt_failed()
    use = PoolUse(open=5, idle=2, most=10)
    metrics.watch_pool(lambda: use)

    value = registry.get_sample_value
    assert value("trimem_store_pending_events") == 3
    assert value("trimem_store_failed_events") == 2
    assert 3600 <= (value("trimem_store_oldest_pending_seconds") or 0) < 3700
    assert value("trimem_store_events_without_words") == 7
    assert value("trimem_store_backfilled_events_total", {"state": "FAILED"}) == 1
    assert value("trimem_store_backfill_batches_total", {"outcome": "halved"}) == 1
    assert value("trimem_store_backfill_batches_total", {"outcome": "done"}) == 0
    assert value("trimem_store_failed_embedding_attempts_total") == 1
    assert [value("trimem_store_pool_connections", {"state": state}) for state in ("in_use", "idle", "max")] == [
        3,
        2,
        10,
    ]
    use = PoolUse(open=5, idle=5, most=10)
    assert value("trimem_store_pool_connections", {"state": "in_use"}) == 0
    metrics.backlog(Backlog(0, 0, None))
    assert value("trimem_store_oldest_pending_seconds") == 0
    # A clock that is behind that of the database.
    metrics.backlog(Backlog(1, 0, datetime.now(UTC) + timedelta(minutes=1)))
    assert value("trimem_store_oldest_pending_seconds") == 0
    assert b"trimem_store_pool_connections" in generate_latest(registry)
