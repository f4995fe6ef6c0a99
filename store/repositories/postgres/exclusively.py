"""Changes of the schema while others work: a lock that is not had at once is given up and tried again.

Whoever waits for an exclusive lock makes all who come later wait, too.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg

from servicekit.errors import UnavailableError
from servicekit.jitter import jittered
from store.database import Connection

T = TypeVar("T")

#: Name of the advisory lock that claims of the backfill share: "claims" in ASCII. It ends with its session, so that no
#: kill leaves the backfill standing.
CLAIMS_LOCK = 0x636C61696D73

#: Milliseconds to wait for the claims that there are. They may be held for a minute, while the embedder works.
_CLAIMS_TIMEOUT = 75_000

#: Milliseconds that each attempt waits for the lock.
_LOCK_TIMEOUTS = [200, 200, 500, 500, 1000, 1000, 2000, 2000, 5000, 5000, 10_000, 10_000, 20_000, 20_000]

#: Milliseconds that a statement may take once it has the lock.
_STATEMENT_TIMEOUT = 10_000


async def exclusively(connection: Connection, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` returns, which nobody else reads or writes `events` beside; all in one transaction."""

    async def locked() -> T:
        await connection.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        await connection.execute(f"SET LOCAL statement_timeout = {_STATEMENT_TIMEOUT}")
        return await work()

    async with _without_claims(connection):
        return await with_lock_timeout(connection, locked)


@asynccontextmanager
async def _without_claims(connection: Connection) -> AsyncIterator[None]:
    """Lets no new claims in, and waits for those that there are: they hold their rows longer than any attempt waits."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {_CLAIMS_TIMEOUT}")
            await connection.execute("SELECT pg_advisory_lock($1)", CLAIMS_LOCK)
    except asyncpg.LockNotAvailableError:
        yield  # one that is stuck: the attempts will tell
        return
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", CLAIMS_LOCK)


async def with_lock_timeout(connection: Connection, work: Callable[[], Awaitable[T]], table: str = "events") -> T:
    """What `work` returns, in a transaction that is tried again while others hold the locks it needs, on `table`."""
    for timeout in _LOCK_TIMEOUTS:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {timeout}")
                return await work()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(jittered(timeout / 1000))
    raise UnavailableError(
        f"other transactions keep `{table}` locked; nothing was changed. End those that stay open for long "
        "(pg_stat_activity) and run the command again"
    )
