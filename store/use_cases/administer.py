"""What operators ask of the store."""

from collections.abc import Sequence
from dataclasses import dataclass

from servicekit.errors import InvalidArgumentError
from store.repositories.outbox import Backlog, Outbox
from store.repositories.status import ConnectionUse, DatabaseStatus, PoolUse, StatusRepository
from store.use_cases.event_rules import accept_id

MOST_IDS = 1000


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store is."""

    database: DatabaseStatus
    backlog: Backlog
    is_paused: bool
    #: Of the process that answers.
    pool: PoolUse


class Administer:
    """Tells how the store is, and steers its work in the background: for all stores of the database."""

    def __init__(self, status: StatusRepository, outbox: Outbox) -> None:
        self._status = status
        self._outbox = outbox

    async def status(self) -> StoreStatus:
        """How the store is."""
        return StoreStatus(
            await self._status.read(), await self._outbox.backlog(), await self._outbox.is_paused(), self._status.pool()
        )

    async def connections(self) -> ConnectionUse:
        """How the connections of all stores are used, for those who have no pool of interest themselves."""
        return await self._status.connections()

    async def pause(self) -> None:
        """Stop embedding pending events. Batches at work are finished."""
        await self._outbox.pause(True)

    async def resume(self) -> None:
        """End the pause."""
        await self._outbox.pause(False)

    async def retry(self, ids: Sequence[str]) -> int:
        """Make FAILED events PENDING, all of them without `ids`; returns how many. Raises InvalidArgumentError."""
        if len(ids) > MOST_IDS:
            raise InvalidArgumentError("ids", f"must be at most {MOST_IDS}, and are {len(ids)}")
        return await self._outbox.retry_failed([accept_id(f"ids[{place}]", one) for place, one in enumerate(ids)])
