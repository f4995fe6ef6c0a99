"""How the counts of words are folded: right after every write, and not too much at once."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from store.database import Database
from store.repositories.events import EventChange
from store.repositories.postgres import lexical as lexical_sql
from store.repositories.postgres.lexical import PostgresLexical
from store.use_cases.words import words_of
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import open_database, pending_event


@pytest_asyncio.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A pool on a new, migrated database."""
    async with open_database(await new_database(migrated=True)) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> Repositories:
    """The repositories on it."""
    return Repositories.of_postgres(database)


async def _totals(database: Database) -> tuple[int, int]:
    """Documents and words in all, after folding."""
    while await PostgresLexical(database).fold():
        pass
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT documents, length FROM lexical_totals")
    assert row is not None
    return row["documents"], row["length"]


async def test_the_same_words_in_other_numbers_are_counted(database: Database, store: Repositories) -> None:
    event = pending_event("zebra", words=words_of("zebra"))
    await store.events.create([event], None)
    longer = replace(event, content={"text": "zebra " * 1000}, words=words_of("zebra " * 1000))

    await store.events.update(event.id, EventChange(content=longer), None)
    assert await _totals(database) == (1, 1000)

    await store.events.delete(event.id)
    assert await _totals(database) == (0, 0)


async def test_one_fold_has_a_bounded_number_of_words_and_at_least_one_change(
    database: Database, store: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical_sql, "_WORDS", 250)
    for sizes in (300, 100, 100, 100, 400):
        text = " ".join(f"w{number}" for number in range(sizes))
        await store.events.create([pending_event(text, words=words_of(text))], None)

    folded = [await PostgresLexical(database).fold() for _ in range(5)]

    assert folded == [1, 2, 1, 1, 0]
    assert await _totals(database) == (5, 1000)
