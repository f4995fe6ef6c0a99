"""Searches by vector with a filter: an index that stops early must not hide what is nearest without a word."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest
import pytest_asyncio

from store.database import Database
from store.events import EmbeddingState, EventFilter, NewEvent, Vector
from store.repositories.postgres import nearest as nearest_sql
from store.repositories.postgres import search as search_sql
from store.repositories.search import Candidates, Question
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import DIMENSION, SPACE, new_event, open_database

JANUARY, FEBRUARY = (datetime(2026, month, 10, tzinfo=UTC) for month in (1, 2))
MINE = EventFilter(metadata={"of": "me"})
NEAREST = np.eye(1, DIMENSION, dtype=np.float32)[0]


@pytest_asyncio.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A pool on a new, migrated database."""
    async with open_database(await new_database(migrated=True)) as opened:
        yield opened


@pytest_asyncio.fixture
async def store(database: Database) -> Repositories:
    """January: 3,000 events of others, nearest of all, before 600 that match. February: 100 that match, far away."""
    repositories = Repositories.of_postgres(database)
    dice = np.random.default_rng(1)
    events = [_event(dice, 0.0, JANUARY, "others") for _ in range(3000)]
    events += [_event(dice, 0.2, JANUARY, "me") for _ in range(600)]
    events += [_event(dice, 0.9, FEBRUARY, "me") for _ in range(100)]
    for start in range(0, len(events), 500):
        await repositories.events.create(events[start : start + 500], SPACE)
    async with database.connection() as connection:
        await connection.execute("ANALYZE events")
    return repositories


def _event(dice: np.random.Generator, away: float, timestamp: datetime, owner: str) -> NewEvent:
    vector: Vector = NEAREST * (1 - away) + dice.normal(scale=0.01, size=DIMENSION).astype(np.float32)
    vector[1] += away
    return new_event(
        id=uuid4(),
        timestamp=timestamp,
        metadata={"of": owner},
        embedding=vector / np.linalg.norm(vector),
        embedding_state=EmbeddingState.EMBEDDED,
    )


@pytest.fixture
def short_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index stops after 400 rows of a partition, and is asked as it would be with more rows than here."""
    settings = "hnsw.max_scan_tuples = 400", "enable_bitmapscan = off", "enable_sort = off"
    begin = "; SET LOCAL ".join((search_sql.SETTINGS, *settings))
    monkeypatch.setattr(search_sql, "SETTINGS", begin)
    monkeypatch.setattr(nearest_sql, "_SCANNED", 200)


async def _search(store: Repositories, matching: EventFilter = MINE) -> tuple[Candidates, set[datetime]]:
    found = await store.search.candidates(Question(vector=NEAREST, space=SPACE), matching, 50)
    assert len(found.found) == 50
    return found, {datetime.fromtimestamp(one.time, UTC) for one in found.found}


@pytest.mark.usefixtures("short_scan")
async def test_few_rows_that_match_are_all_compared(store: Repositories) -> None:
    found, months = await _search(store)

    assert months == {JANUARY}
    assert not found.may_miss_nearest


@pytest.mark.usefixtures("short_scan")
async def test_what_many_rows_that_match_may_hide_is_said(store: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_sql, "_COMPARED", 100)

    found, months = await _search(store)

    assert months == {FEBRUARY}  # what the limit does
    assert found.may_miss_nearest


async def test_where_the_index_goes_through_all_rows_nothing_is_missed(store: Repositories) -> None:
    found, months = await _search(store)

    assert months == {JANUARY}
    assert not found.may_miss_nearest


@pytest.mark.usefixtures("short_scan")
async def test_without_a_filter_nothing_is_missed(store: Repositories) -> None:
    found, _ = await _search(store, EventFilter())

    assert not found.may_miss_nearest


async def test_sizes_of_partitions_are_remembered_for_a_while_and_then_looked_at_again(
    store: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest_sql, "_COMPARED", 100)
    before, _ = await _search(store)
    monkeypatch.setattr(nearest_sql, "_SCANNED", 200)  # from now on January is large

    remembered, _ = await _search(store)
    later = time.monotonic() + nearest_sql._HOLDS
    monkeypatch.setattr(nearest_sql, "time", SimpleNamespace(monotonic=lambda: later))
    after, _ = await _search(store)

    assert [one.may_miss_nearest for one in (before, remembered, after)] == [False, False, True]
