"""What the upkeep of partitions asks of the place where events are kept."""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from store.repositories.status import Partition


class PartitionRepository(Protocol):
    """Makes and drops the partitions of events. Raises as EventRepository does."""

    async def ensure(self, times: Collection[datetime], *, limited: bool = True) -> frozenset[datetime]:
        """Have a partition for each of these times.

        Returns those that have none, because there are as many partitions as may be: the current month, and all unless
        `limited`, have one nevertheless. Several stores may do so at once.
        """
        ...

    async def partitions(self) -> list[Partition]:
        """All of them, oldest first."""
        ...

    async def needed_locks(self) -> int | None:
        """The max_locks_per_transaction that the database should have for so many partitions; None when it has."""
        ...

    def alone(self) -> AbstractAsyncContextManager[bool]:
        """Keeps other stores from dropping meanwhile. False when one of them is at it."""
        ...

    async def detach(self, name: str) -> None:
        """Take a partition out of the events, for good: from now on it is one of `detached`. Nobody waits for it."""
        ...

    async def detached(self) -> list[str]:
        """Partitions that are to be dropped, also those that a process left behind that was killed.

        Finishes an interrupted detachment, beside which no other can begin.
        """
        ...

    async def count(self, name: str) -> int:
        """Rows of a detached partition; exact."""
        ...

    async def forget_keys(self, name: str) -> None:
        """Free ids and request ids of the events of a detached partition."""
        ...

    async def drop(self, name: str) -> None:
        """Delete a detached partition, and take its words out of the counts."""
        ...

    async def forget_deleted(self, before: datetime) -> int:
        """Free ids and request ids of events that were deleted before this time. Returns of how many."""
        ...
