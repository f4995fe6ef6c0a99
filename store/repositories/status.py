"""What is asked about the database itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from store.events import EmbeddingSpace


@dataclass(frozen=True, slots=True)
class Partition:
    """A table with events: a month, or all of them."""

    name: str
    #: First timestamp that belongs to it, and first that does not; None is no limit.
    start_time: datetime | None
    end_time: datetime | None
    #: Estimated.
    rows: int
    #: Indexes included.
    size: int


@dataclass(frozen=True, slots=True)
class IndexUse:
    """An index; those of partitions added up."""

    name: str
    table: str
    size: int
    #: False while it is being built, or when building it failed.
    valid: bool


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections of this process to the database."""

    open: int
    idle: int
    most: int

    @property
    def in_use(self) -> int:
        """Those that work."""
        return self.open - self.idle


@dataclass(frozen=True, slots=True)
class ConnectionUse:
    """Connections of all processes of the store to the database.

    Those whose state the role may not see are open, and neither busy nor idle.
    """

    open: int
    #: At a statement, or inside of a transaction.
    busy: int
    idle: int


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """How the database is. Sizes in bytes."""

    database_version: str
    pgvector_version: str
    revision: str
    #: By column.
    spaces: dict[str, EmbeddingSpace]
    #: Oldest first.
    partitions: list[Partition]
    indexes: list[IndexUse]
    size: int

    @property
    def rows(self) -> int:
        """Events, estimated."""
        return sum(one.rows for one in self.partitions)


class StatusRepository(Protocol):
    """Describes the database without reading its tables. Raises as EventRepository does."""

    async def read(self) -> DatabaseStatus:
        """How the database is."""
        ...

    async def connections(self) -> ConnectionUse:
        """How the connections of all processes of the store are used, without the one that asks this."""
        ...

    def pool(self) -> PoolUse:
        """How our connections are used."""
        ...
