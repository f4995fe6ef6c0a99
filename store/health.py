"""Tells the health service whether the database answers."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from store.database import LOST, Database

#: Seconds for one answer.
_TIMEOUT = 2.0


class DatabaseWatcher:
    """Asks the database every second, on a connection of its own: a busy pool is not a dead database."""

    def __init__(self, database: Database, report: Callable[[bool], Awaitable[None]], interval: float = 1.0) -> None:
        """`report` is called with whether the database answers, each time that this changes. It begins with True."""
        self._database = database
        self._report = report
        self._interval = interval
        self._answers = True
        self._log = structlog.get_logger("health")

    async def run(self) -> None:
        """Watch until cancelled."""
        connection: asyncpg.Connection[asyncpg.Record] | None = None
        try:
            while True:
                try:
                    async with asyncio.timeout(_TIMEOUT):
                        if connection is None or connection.is_closed():
                            connection = await self._database.connect()
                        await connection.execute("SELECT 1")
                except (OSError, TimeoutError, asyncpg.PostgresError, *LOST) as error:
                    if connection is not None:
                        connection.terminate()
                        connection = None
                    await self._change(False, type(error).__name__)
                else:
                    await self._change(True)
                await asyncio.sleep(self._interval)
        finally:
            if connection is not None:
                connection.terminate()

    async def _change(self, answers: bool, reason: str = "") -> None:
        if answers == self._answers:
            return
        self._answers = answers
        if answers:
            self._log.info("the database answers again")
        else:
            self._log.error("the database does not answer", error=reason)
        await self._report(answers)
