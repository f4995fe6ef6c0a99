"""Builds an index on `events` while others read and write: on one table, or partition by partition."""

from dataclasses import dataclass

import asyncpg
import structlog

from servicekit.errors import UnavailableError
from store.database import Connection
from store.repositories.postgres.exclusively import with_lock_timeout

IS_PARTITIONED = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('events')"

IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"

# The index of a partition has the name of the whole one and the end of the partition's, as those that PostgreSQL makes
# get it from us.
UNINDEXED_PARTITIONS = """
    SELECT c.oid::regclass::text AS partition,
           quote_ident(wanted.name) AS index,
           quote_ident(n.nspname) || '.' || quote_ident(wanted.name) AS qualified
    FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
         LATERAL (SELECT left($1::text, 50) || substr(c.relname, length('events') + 1) AS name) AS wanted
    WHERE h.inhparent = to_regclass('events')
      AND NOT h.inhdetachpending
      AND NOT EXISTS (
          SELECT FROM pg_index i JOIN pg_inherits hi ON hi.inhrelid = i.indexrelid
          WHERE i.indrelid = c.oid AND hi.inhparent = to_regclass($1::text)
      )
    ORDER BY c.relname
"""

#: Rounds over the partitions: others may be added or dropped while we build.
_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """An index on `events`."""

    name: str
    #: What follows the table in CREATE INDEX.
    definition: str


async def ensure_index(connection: Connection, plan: IndexPlan) -> None:
    """Have a valid index. What a build that was cut off has left is dropped and built again."""
    if not await connection.fetchval(IS_PARTITIONED):
        await _build(connection, plan.name, plan.name, "events", plan.definition)
        return
    if await connection.fetchval(IS_VALID, plan.name) is None:

        async def create() -> None:
            await connection.execute(f"CREATE INDEX {plan.name} ON ONLY events {plan.definition}")

        await with_lock_timeout(connection, create)
    for _ in range(_ROUNDS):
        rows = await connection.fetch(UNINDEXED_PARTITIONS, plan.name)
        if not rows:
            break
        for row in rows:
            await _build_on_partition(connection, plan, row["partition"], row["index"], row["qualified"])
    if not await connection.fetchval(IS_VALID, plan.name):
        raise UnavailableError(f"partitions come and go while {plan.name} is built: run the command again")


async def _build_on_partition(
    connection: Connection, plan: IndexPlan, partition: str, name: str, qualified: str
) -> None:
    try:
        await _build(connection, qualified, name, partition, plan.definition)

        async def attach() -> None:
            await connection.execute(f"ALTER INDEX {plan.name} ATTACH PARTITION {qualified}")

        await with_lock_timeout(connection, attach)
    except asyncpg.UndefinedTableError:
        structlog.get_logger("reembed").info("a partition is gone", partition=partition)


async def _build(connection: Connection, qualified: str, name: str, table: str, definition: str) -> None:
    valid = await connection.fetchval(IS_VALID, qualified)
    if valid:
        return
    if valid is False:
        await connection.execute(f"DROP INDEX CONCURRENTLY {qualified}")
    await connection.execute(f"CREATE INDEX CONCURRENTLY {name} ON {table} {definition}")
