"""How a store connects when its database comes and goes."""

import pytest

from store.database import Database
from store.errors import DatabaseUnavailableError
from store.wiring import open_database
from tests.conftest import NewDatabase
from tests.fixtures_store import store_settings


class Leaving(Database):
    """A database that went away as soon as it had answered, some times."""

    leaves = 2

    async def open(self) -> None:
        if self.leaves:
            self.leaves -= 1
            raise DatabaseUnavailableError("the database cannot be reached")
        await super().open()


async def test_a_database_that_goes_away_while_a_store_connects_is_waited_for(new_database: NewDatabase) -> None:
    database = Leaving(url := await new_database(migrated=True), min_size=1, max_size=1)

    await open_database(database, store_settings(database_url=url))

    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()


async def test_and_no_longer_than_the_settings_say(new_database: NewDatabase) -> None:
    database = Leaving(url := await new_database(migrated=True), min_size=1, max_size=1)

    with pytest.raises(DatabaseUnavailableError):
        await open_database(database, store_settings(database_url=url, database_start_timeout_seconds=0))
