"""Search by words: the counts that follow every write, and BM25, on the fake and on PostgreSQL."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from store.database import Database
from store.events import EmbeddingState, EventFilter, NewEvent
from store.repositories.events import EventChange
from store.repositories.postgres import lexical_search as lexical_sql
from store.repositories.postgres import nearest as nearest_sql
from store.repositories.postgres import search as search_sql
from store.repositories.postgres.lexical import PostgresLexical
from store.repositories.search import Candidates, Question, Recency
from store.use_cases.words import words_of
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import SPACE, new_event, open_database, pending_event, text_vector

ALL = EventFilter()
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

# What the counts should be, from the events themselves.
RECOUNT = """
    SELECT coalesce((
               SELECT jsonb_object_agg(term, documents)
               FROM (SELECT term, count(*) AS documents FROM events, unnest(terms) AS term GROUP BY term) AS counted
           ), '{}') AS terms,
           (SELECT count(*) FROM events WHERE term_total > 0) AS documents,
           (SELECT coalesce(sum(term_total), 0) FROM events) AS length
"""

COUNTS = """
    SELECT coalesce((SELECT jsonb_object_agg(term, documents) FROM lexical_terms), '{}') AS terms, documents, length
    FROM lexical_totals
"""


@pytest_asyncio.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A pool on a new, migrated database."""
    async with open_database(await new_database(migrated=True)) as opened:
        yield opened


@pytest_asyncio.fixture
async def store(database: Database) -> Repositories:
    """The repositories on it."""
    return Repositories.of_postgres(database)


def saying(text: str, **fields: Any) -> NewEvent:
    """An event that waits for its vector, with its words."""
    return pending_event(text, words=words_of(text), **fields)


def question(text: str, **fields: Any) -> Question:
    """A search by words."""
    return Question(terms=words_of(text).terms, **fields)


async def counts(database: Database) -> tuple[Any, Any]:
    """The folded counts, and what they should be."""
    async with database.connection() as connection:
        return tuple(await connection.fetchrow(COUNTS)), tuple(await connection.fetchrow(RECOUNT))  # type: ignore[arg-type]


async def test_counts_follow_every_kind_of_write(database: Database, store: Repositories) -> None:
    lexical = PostgresLexical(database)
    events = [saying("red apple"), saying("green apple apple"), saying("???"), saying("blue sea")]
    await store.events.create(events, None)
    while await lexical.fold():
        pass
    folded, expected = await counts(database)
    assert folded == expected
    assert expected[1:] == (3, 7)

    changed = replace(events[0], content={"text": "yellow pear"}, words=words_of("yellow pear"))
    await store.events.update(events[0].id, EventChange(content=changed), None)
    await store.events.update(events[1].id, EventChange(metadata={"a": 1}), None)
    await store.events.delete(events[3].id)
    while await lexical.fold():
        pass

    folded, expected = await counts(database)
    assert folded == expected
    # Words that no event has any more are gone.
    assert len(folded[0]) == 4


async def test_counts_are_right_with_many_writers_and_folders_at_once(database: Database, store: Repositories) -> None:
    lexical = PostgresLexical(database)
    dice = random.Random(1)

    async def write() -> None:
        for _ in range(8):
            texts = [" ".join(dice.choices(["one", "two", "three", "four", "five", "six"], k=4)) for _ in range(3)]
            batch = [saying(text) for text in texts]
            await store.events.create(batch, None)
            await store.events.delete(batch[0].id)

    async def fold() -> None:
        for _ in range(20):
            await lexical.fold()

    await asyncio.gather(*(write() for _ in range(4)), *(fold() for _ in range(3)))
    while await lexical.fold():
        pass

    folded, expected = await counts(database)
    assert folded == expected
    assert folded[1] == 64


async def test_scores_do_not_wait_for_the_counts_to_be_folded(database: Database, store: Repositories) -> None:
    for number in range(5):
        await store.events.create([saying(f"apple number {number}"), saying("something else")], None)
    before = await store.search.candidates(question("apple number 3"), ALL, 10)

    await PostgresLexical(database).fold()
    after = await store.search.candidates(question("apple number 3"), ALL, 10)

    assert before == after
    assert len(before.found) == 5


def scores(candidates: Candidates) -> dict[Any, tuple[Any, Any]]:
    """By id, rounded as float32 is."""
    return {
        one.id: (round(one.lexical_score, 9), one.similarity and round(one.similarity, 4)) for one in candidates.found
    }


def corpus(size: int) -> Sequence[NewEvent]:
    """Events of few and many words, embedded and not, of some months."""
    dice = random.Random(7)
    words = [f"w{number}" for number in range(40)]
    made = []
    for number in range(size):
        text = " ".join(dice.choices(words, weights=range(1, 41), k=dice.choice([1, 5, 30, 400])))
        make = new_event if number % 3 else pending_event
        fields = {"metadata": {"odd": number % 2}, "timestamp": NOON - timedelta(days=number)}
        made.append(make(text, words=words_of(text), **fields))
    return made


@pytest.mark.parametrize("query", ["w1", "w40 w39 w38", "w3 w3 nowhere", "nowhere", "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10"])
async def test_postgres_finds_and_scores_as_the_plain_formula(store: Repositories, query: str) -> None:
    plain = Repositories.of_memory()
    events = corpus(90)
    for repositories in (store, plain):
        await repositories.events.create(events, SPACE)

    recency = Recency(NOON.timestamp(), 86400 * 5)
    for fields in ({}, {"recency": recency}, {"vector": text_vector("w1 w2"), "space": SPACE}):
        for matching in (
            ALL,
            EventFilter(metadata={"odd": 1}),
            EventFilter(start_time=NOON - timedelta(days=50), end_time=NOON - timedelta(days=20)),
        ):
            for limit in (7, 200):
                found = await store.search.candidates(question(query, **fields), matching, limit)
                expected = await plain.search.candidates(question(query, **fields), matching, limit)
                assert scores(found) == scores(expected)
                assert found.best_lexical_score == pytest.approx(expected.best_lexical_score)
                assert found.unseen_lexical_score == expected.unseen_lexical_score == 0
                assert found.unseen_similarity == pytest.approx(expected.unseen_similarity, abs=1e-4)


async def test_the_words_of_an_event_are_found_whatever_became_of_its_vector(store: Repositories) -> None:
    states = [EmbeddingState.SKIPPED, EmbeddingState.FAILED, EmbeddingState.PENDING]
    await store.events.create([replace(saying("apple"), embedding_state=state) for state in states], None)

    found = await store.search.candidates(question("apple", vector=text_vector("apple"), space=None), ALL, 10)

    assert len(found.found) == 3
    assert {one.similarity for one in found.found} == {None}


async def test_rows_that_nobody_has_looked_for_words_in_are_missed_and_said_to_be(
    database: Database, store: Repositories
) -> None:
    await store.events.create([saying("apple"), saying("apple pie")], None)
    async with database.connection() as connection:
        await connection.execute("UPDATE events SET terms = NULL, term_counts = NULL, term_total = NULL")

    candidates = await store.search.candidates(question("apple"), ALL, 10)
    elsewhere = await store.search.candidates(question("apple"), EventFilter(end_time=NOON.replace(year=2000)), 10)
    assert candidates.found == []
    assert candidates.unseen_lexical_score == candidates.best_lexical_score > 0
    assert elsewhere.unseen_lexical_score == 0
    await PostgresLexical(database).fold()
    folded, expected = await counts(database)
    assert folded == expected


async def test_a_long_document_stored_compressed_scores_as_the_plain_formula(store: Repositories) -> None:
    plain = Repositories.of_memory()
    long = saying(" ".join(f"w{number} common" for number in range(20_000)))
    events = [long, saying("common w77"), saying("other")]
    for repositories in (store, plain):
        await repositories.events.create(events, None)

    found = await store.search.candidates(question("w77 common"), ALL, 10)

    assert scores(found) == scores(await plain.search.candidates(question("w77 common"), ALL, 10))


async def test_events_are_read_within_the_filter_and_those_that_are_gone_are_not(store: Repositories) -> None:
    kept, other, gone = saying("a", metadata={"k": 1}), saying("b"), saying("c", metadata={"k": 1})
    await store.events.create([kept, other, gone], None)
    await store.events.delete(gone.id)

    ids = [kept.id, other.id, gone.id, uuid4()]

    assert set(await store.search.events(ids, EventFilter(metadata={"k": 1}))) == {kept.id}
    assert set(await store.search.events(ids, ALL)) == {kept.id, other.id}
    assert await store.search.events([], ALL) == {}


async def plan(database: Database, statement: str, *arguments: object) -> str:
    """How a search would run a statement."""
    async with database.transaction() as connection:
        await connection.execute(search_sql.SETTINGS.format(timeout=0))
        rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return json.dumps(json.loads(rows[0][0]))


async def index_of(database: Database, parent: str, partition: str) -> str:
    """The name of the part of an index that is on one partition."""
    async with database.connection() as connection:
        name: str = await connection.fetchval(
            """
            SELECT i.inhrelid::regclass::text
            FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid
            WHERE i.inhparent = $1::text::regclass AND x.indrelid = $2::text::regclass
            """,
            parent,
            partition,
        )
    return name


async def two_months(database: Database, store: Repositories) -> tuple[str, str]:
    """Names of the partitions of two months with events in them."""
    for month in (3, 4):
        at = NOON.replace(month=month)
        await store.events.create([new_event("apple", words=words_of("apple"), timestamp=at)], SPACE)
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT tableoid::regclass::text AS name FROM events ORDER BY timestamp")
    assert rows[0] != rows[1]
    return rows[0]["name"], rows[1]["name"]


async def test_each_arm_asks_the_month_that_matters_and_no_other(database: Database, store: Repositories) -> None:
    march, april = await two_months(database, store)
    start, end = NOON.replace(month=3, day=1), NOON.replace(month=3, day=20)
    terms = words_of("apple").terms

    by_words = await plan(database, lexical_sql.BY_WORDS, terms, None, start, end, terms, [1.0], 1.0, 10, 0.0, 0.0, 10)
    nearest = await plan(database, nearest_sql.NEAREST, text_vector("x"), None, start, end, 10, 5)

    for found in (nearest, by_words):
        assert march in found
        assert april not in found
        assert "Seq Scan" not in found


async def test_without_a_range_of_time_every_month_is_asked_by_index(database: Database, store: Repositories) -> None:
    months = await two_months(database, store)
    terms = words_of("apple").terms

    plans = {
        "ix_events_embedding": await plan(database, nearest_sql.NEAREST, text_vector("x"), None, None, None, 10, 5),
        "ix_events_terms": await plan(
            database, lexical_sql.BY_WORDS, terms, None, None, None, terms, [1.0], 1.0, 10, 0.0, 0.0, 10
        ),
    }
    events = await plan(database, search_sql.EVENTS, [uuid4()], None, None, None)
    both = await plan(database, lexical_sql.BOTH_SCORES, [uuid4()], text_vector("x"), terms, [1.0], 1.0)

    for month in months:
        for parent, found in plans.items():
            assert await index_of(database, parent, month) in found
        for found in (events, both):
            # Either index has id and time; rows come one by one, by their keys.
            assert month in found
            assert "Nested Loop" in found
    for found in (*plans.values(), events, both):
        assert "Seq Scan" not in found
