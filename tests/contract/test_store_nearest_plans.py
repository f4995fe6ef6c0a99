"""Searches by vector whose plan is kept: they find what those find that are planned anew."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID, uuid4

import numpy as np
import pytest
import pytest_asyncio

from store.database import Database
from store.errors import EmbeddingSpaceMismatchError
from store.events import EmbeddingState, EventFilter, Vector
from store.repositories.postgres import nearest as nearest_sql
from store.repositories.postgres.nearest import Nearest, Way
from store.repositories.postgres.search import SETTINGS
from store.repositories.search import Question
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import DIMENSION, OTHER_SPACE, SPACE, new_event, open_database

MONTHS = [datetime(2026, month, 10, tzinfo=UTC) for month in (1, 2, 3)]
MINE = EventFilter(metadata={"of": "me"})
ALL = EventFilter()
LIMIT = 20


@pytest_asyncio.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    """Three months of 600 events each; one in twenty is mine."""
    async with open_database(await new_database(migrated=True)) as opened:
        dice = np.random.default_rng(1)
        for month in MONTHS:
            events = [
                new_event(
                    id=uuid4(),
                    timestamp=month,
                    metadata={"of": "others" if number % 20 else "me", "number": number},
                    embedding=_unit(dice),
                    embedding_state=EmbeddingState.EMBEDDED,
                )
                for number in range(600)
            ]
            await Repositories.of_postgres(opened).events.create(events, SPACE)
        async with opened.connection() as connection:
            await connection.execute("ANALYZE events")
        yield opened


@pytest.fixture
def question() -> Question:
    """By vector alone."""
    return Question(vector=_unit(np.random.default_rng(2)), space=SPACE, bring=5)


def _unit(dice: np.random.Generator) -> Vector:
    vector: Vector = dice.normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time, in `now`."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(nearest_sql, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


async def _search(
    database: Database, nearest: Nearest, question: Question, matching: EventFilter, *settings: str
) -> tuple[Way, list[UUID]]:
    way = nearest.way(question, matching, LIMIT)
    begin = "; SET LOCAL ".join((SETTINGS.format(timeout=0) + way.settings, *settings))
    async with database.reading(begin) as connection:
        found = await nearest.find(connection, way, question, matching, LIMIT)
    assert not found.may_miss
    assert sum(row["content"] is not None for row in found.rows) == question.bring
    return way, [row["id"] for row in found.rows]


@pytest_asyncio.fixture
async def nearest(database: Database, question: Question, clock: SimpleNamespace) -> Nearest:
    """One that keeps the plan for what is mine: it came twice."""
    nearest = Nearest()
    for _ in range(2):
        way, _ = await _search(database, nearest, question, MINE)
        assert not way.is_exact
    return nearest


async def test_a_kept_plan_compares_what_the_filter_lets_through(
    database: Database, question: Question, nearest: Nearest
) -> None:
    exactly = ("enable_indexscan = off", "enable_seqscan = on")
    _, expected = await _search(database, Nearest(), question, MINE, *exactly)

    way, found = await _search(database, nearest, question, MINE)

    assert way.is_exact
    assert len(found) == LIMIT
    assert found == expected


async def test_a_kept_plan_compares_also_without_an_index_of_metadata(
    database: Database, question: Question, nearest: Nearest
) -> None:
    async with database.connection() as connection:
        await connection.execute("DROP INDEX ix_events_metadata")

    plan = await _kept_plan(database, nearest.way(question, MINE, LIMIT), *_of_mine(question))

    assert "ix_events_embedding" not in plan
    assert '"Node Type": "Sort"' in plan


@pytest.mark.parametrize("matching", [EventFilter(start_time=MONTHS[1]), replace(MINE, end_time=MONTHS[1])])
async def test_a_range_of_time_is_planned_each_time(
    database: Database, question: Question, matching: EventFilter, nearest: Nearest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scanned in (nearest_sql._SCANNED, 0):  # with 0 it is counted, and few match
        monkeypatch.setattr(nearest_sql, "_SCANNED", scanned)
        nearest._measure_at = 0
        for _ in range(3):
            way, _ = await _search(database, nearest, question, matching)
            assert not way.is_exact


async def test_what_was_counted_need_not_be_planned(
    database: Database, question: Question, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest_sql, "_SCANNED", 0)
    nearest = Nearest()

    searches = [await _search(database, nearest, question, MINE) for _ in range(2)]

    assert [way.is_exact for way, _ in searches] == [False, True]
    assert searches[0][1] == searches[1][1]
    assert clock.now == 100


async def test_without_a_filter_the_plan_is_kept_from_the_first(database: Database, question: Question) -> None:
    nearest = Nearest()
    way, found = await _search(database, nearest, question, ALL)
    _, planned = await _search(database, nearest, replace(question, terms=[1]), ALL)

    assert nearest_sql.PLANNED_ONCE in way.settings
    assert found == planned


async def test_words_are_looked_for_with_plans_of_their_own(question: Question, nearest: Nearest) -> None:
    for matching in (ALL, MINE):
        assert nearest.way(question, matching, LIMIT).settings
        assert not nearest.way(replace(question, terms=[1]), matching, LIMIT).settings


async def test_a_filter_that_comes_again_and_leaves_few_is_not_planned_again_for_a_while(
    database: Database, question: Question, nearest: Nearest, clock: SimpleNamespace
) -> None:
    for _ in range(4):
        clock.now += nearest_sql._HOLDS / 5
        assert (await _search(database, nearest, question, MINE))[0].is_exact
    assert not nearest.way(question, EventFilter(metadata={"of": "you"}), LIMIT).is_exact
    assert not nearest.way(question, MINE, LIMIT + 1).is_exact  # with another limit the index may be better

    clock.now += nearest_sql._HOLDS / 5
    searches = [await _search(database, nearest, question, MINE) for _ in range(2)]
    assert [way.is_exact for way, _ in searches] == [False, True]


async def test_a_filter_that_comes_now_and_then_costs_no_question_to_the_planner(
    question: Question, clock: SimpleNamespace
) -> None:
    nearest = Nearest()
    for _ in range(5):
        way = nearest.way(question, MINE, LIMIT)
        assert not way.is_exact
        assert not way.is_due
        clock.now += nearest_sql._HOLDS


async def test_a_filter_that_is_left_to_the_index_is_planned_each_time(
    database: Database, question: Question, clock: SimpleNamespace
) -> None:
    nearest = Nearest()
    by_index = "enable_bitmapscan = off", "enable_sort = off"

    ways = [(await _search(database, nearest, question, MINE, *by_index))[0] for _ in range(4)]

    assert [way.is_due for way in ways] == [False, True, False, False]
    assert not any(way.is_exact for way in ways)
    assert clock.now == 100


async def test_few_filters_are_remembered_those_that_came_last(
    question: Question, nearest: Nearest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest_sql, "_FILTERS", 2)
    for number in range(5):
        nearest.way(question, EventFilter(metadata={"number": number}), LIMIT)
        assert nearest.way(question, MINE, LIMIT).is_exact
        assert len(nearest._filters) <= 2
    for number in range(2):
        nearest.way(question, EventFilter(metadata={"number": number}), LIMIT)
    assert not nearest.way(question, MINE, LIMIT).is_exact


async def test_a_kept_plan_compares_no_vectors_of_another_space(
    database: Database, question: Question, nearest: Nearest
) -> None:
    other = replace(question, space=OTHER_SPACE)

    for matching in (MINE, ALL):
        with pytest.raises(EmbeddingSpaceMismatchError):
            await _search(database, nearest, other, matching)


async def _kept_plan(database: Database, way: Way, *arguments: str) -> str:
    """The plan that is kept for a statement."""
    assert way.settings
    async with database.reading(SETTINGS.format(timeout=0) + way.settings) as connection:
        await connection.execute(f"PREPARE kept AS {way.sql}")
        rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE kept ({', '.join(arguments)})")
        await connection.execute("DEALLOCATE kept")
    return json.dumps(json.loads(rows[0][0]))


def _literal(question: Question) -> str:
    assert question.vector is not None
    return f"'{question.vector.tolist()}'"


def _of_mine(question: Question) -> tuple[str, ...]:
    return _literal(question), """'{"of": "me"}'""", str(LIMIT), str(question.bring)


async def test_kept_plans_ask_the_indexes(database: Database, question: Question, nearest: Nearest) -> None:
    of_all = await _kept_plan(database, nearest.way(question, ALL, LIMIT), _literal(question), "5")
    of_few = await _kept_plan(database, nearest.way(question, MINE, LIMIT), *_of_mine(question))

    for month in ("y2026m01", "y2026m02", "y2026m03"):
        assert f"ix_events_embedding_{month}" in of_all
        assert f"ix_events_metadata_{month}" in of_few
    assert '"Node Type": "Merge Append"' in of_all
    assert "Seq Scan" not in of_all + of_few
    assert "ix_events_embedding" not in of_few
