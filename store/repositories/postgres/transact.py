"""Transactions that are tried again when others got in their way."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from servicekit.errors import TrimemError
from store.database import Connection, Database

#: Attempts at a transaction that others got in the way of.
_ATTEMPTS = 4

T = TypeVar("T")


async def transact(database: Database, work: Callable[[Connection], Awaitable[T]], otherwise: TrimemError) -> T:
    """Do work in a transaction, again when others got in its way; raise `otherwise` when they keep doing so."""
    for _ in range(_ATTEMPTS):
        try:
            async with database.transaction() as connection:
                return await work(connection)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            continue
    raise otherwise
