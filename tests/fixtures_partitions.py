"""What the tests of partitions share."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from store.database import Database
from store.events import Words
from store.repositories.postgres.partitions import PostgresPartitions
from store.repositories.status import Partition
from store.use_cases.upkeep import Upkeep
from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_store import SPACE, execute, new_event

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD_TIME = datetime(2024, 5, 31, 23, 59, 59, 999999, tzinfo=UTC)


class Nobody:
    """Hears nothing."""

    def partitions(self, partitions: Sequence[Partition]) -> None:
        """See Observer."""

    def upkeep_succeeded(self) -> None:
        """See Observer."""


async def without_partitions(new_database: NewDatabase) -> str:
    """A migrated database, as a new one is before the first month is made."""
    url = await new_database(migrated=True)
    parts = "SELECT inhrelid::regclass AS name FROM pg_inherits WHERE inhparent = 'events'::regclass"
    for row in await execute(url, parts):
        await execute(url, f"DROP TABLE {row['name']}")
    return url


def upkeep(database: Database, *, ahead: int = 4, retention: int = 0) -> Upkeep:
    return Upkeep(PostgresPartitions(database), Nobody(), months_ahead=ahead, retention_months=retention)


async def names(database: Database) -> list[str]:
    return [one.name for one in await PostgresPartitions(database).partitions()]


async def filled(database: Database, months: int) -> list[UUID]:
    """Two events in each of the last months, oldest first, with words."""
    times = [NOW.replace(year=2026 - back // 12, month=12 - back % 12, day=1) for back in range(1, months + 1)]
    events = [
        new_event(
            f"number {number}", timestamp=time, words=Words((1, 2 + number), (1, 2)), request_id=f"{time}{number}"
        )
        for time in sorted(times)
        for number in range(2)
    ]
    await Repositories.of_postgres(database).events.create(events, SPACE)
    return [event.id for event in events]
