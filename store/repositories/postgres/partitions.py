"""Partitions of `events`, in PostgreSQL."""

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg

from servicekit.errors import FailedPreconditionError
from store.database import Connection, Database, translated
from store.partitions import Span, span_of
from store.repositories.postgres.status import PARTITIONS
from store.repositories.status import Partition

#: Most partitions, unless told otherwise.
MOST = 400

#: Rows of one transaction that frees keys.
_BATCH = 10_000

#: Names of advisory locks: "trimempa" and "trimemup" in ASCII.
_MAKING = 0x7472696D656D7061
_DROPPING = 0x7472696D656D7570

LOCK_MAKING = "SELECT pg_advisory_xact_lock($1)"

# Not PARTITION OF, which would wait for everybody who reads or writes `events`, and make all others wait meanwhile.
CREATE = "CREATE TABLE {name} (LIKE events INCLUDING ALL)"
ATTACH = "ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"

# So that plans and sizes say which index it is: PostgreSQL numbers those of the same columns.
INDEX_NAMES = """
    SELECT part.relname AS found, left(whole.relname, 50) || substr($1, length('events') + 1) AS wanted
    FROM pg_index i JOIN pg_class part ON part.oid = i.indexrelid
    JOIN pg_inherits h ON h.inhrelid = part.oid JOIN pg_class whole ON whole.oid = h.inhparent
    WHERE i.indrelid = to_regclass($1)
"""
RENAME_INDEX = "ALTER INDEX {found} RENAME TO {wanted}"

# What tells a partition that is to be dropped from one that an operator has detached, or is detaching, to keep it.
MARK = "COMMENT ON TABLE {name} IS 'trimem: older than EVENTS_RETENTION_MONTHS, to be dropped'"
UNMARK = "COMMENT ON TABLE {name} IS NULL"

# Of a detachment that failed before it began. An operator who detaches the partition after that wants to keep it.
MARKED_IN_VAIN = """
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent = to_regclass('events') AND NOT inhdetachpending
      AND obj_description(inhrelid, 'pg_class') LIKE 'trimem: %to be dropped'
"""

DETACH = "ALTER TABLE events DETACH PARTITION {name} CONCURRENTLY"
FINALIZE = "ALTER TABLE events DETACH PARTITION {name} FINALIZE"

# An interrupted detachment counts: it cannot be taken back.
DETACHED = """
    SELECT c.relname, i.inhrelid IS NOT NULL AS interrupted
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('events'))
      AND c.relkind = 'r' AND c.relname LIKE 'events\\_%'
      AND obj_description(c.oid, 'pg_class') LIKE 'trimem: %to be dropped'
      AND (i.inhrelid IS NULL OR i.inhdetachpending)
    ORDER BY c.relname
"""

# In the order of the primary key, a batch after the other. A key of another timestamp belongs to another row of the id.
FORGET_KEYS = """
    WITH batch AS (
        SELECT id, timestamp FROM {name} WHERE (id, timestamp) > ($1, $2::text::timestamptz)
        ORDER BY id, timestamp LIMIT $3
    ),
    gone AS (DELETE FROM event_keys k USING batch WHERE k.event_id = batch.id AND k.timestamp = batch.timestamp)
    SELECT id, timestamp::text AS timestamp FROM batch ORDER BY batch.id DESC, batch.timestamp DESC LIMIT 1
"""

# What the triggers of `events` would have written, had the rows been deleted one by one.
UNCOUNT_WORDS = """
    INSERT INTO lexical_changes (terms, deltas, documents, length)
    SELECT coalesce(words.terms, '{{}}'), coalesce(words.deltas, '{{}}'), -total.documents, -total.length
    FROM (
        SELECT count(*) FILTER (WHERE term_total > 0) AS documents, coalesce(sum(term_total), 0) AS length FROM {name}
    ) AS total,
    (
        SELECT array_agg(term ORDER BY term) AS terms, array_agg(delta ORDER BY term) AS deltas
        FROM (SELECT term, -count(*)::integer AS delta FROM {name}, unnest(terms) AS term GROUP BY term) AS counted
    ) AS words
    WHERE total.documents > 0
"""

# A statement without a range of time locks every partition and every index of it; PostgreSQL has room for so many locks
# of all its sessions together.
NEEDED_LOCKS = """
    SELECT needed FROM (
        SELECT ceil(sum(1 + (SELECT count(*) FROM pg_index WHERE indrelid = relid)) * $1 / (
            current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int
        ))::int AS needed
        FROM pg_partition_tree('events')
    ) AS all_of_them
    WHERE needed > current_setting('max_locks_per_transaction')::int
"""

FORGET_DELETED = """
    DELETE FROM event_keys WHERE event_id IN (
        SELECT event_id FROM event_keys WHERE delete_time < $1 ORDER BY delete_time LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""


class PostgresPartitions:
    """See PartitionRepository."""

    def __init__(self, database: Database, most: int = MOST) -> None:
        self._database = database
        self._most = most

    async def ensure(self, times: Collection[datetime], *, limited: bool = True) -> frozenset[datetime]:
        """See PartitionRepository."""
        free = {span_of(datetime.now(UTC)).name} if limited else {span_of(time).name for time in times}
        if not _without(times, await self.partitions()):
            return frozenset()
        async with self._database.transaction() as connection:
            await connection.execute(LOCK_MAKING, _MAKING)
            there = await _read(connection)
            room = self._most - len(there)
            # The newest first; before them those that are not subject to the limit, which take none of its room.
            wanted = sorted(_without(times, there), key=lambda span: (span.name in free, span.name), reverse=True)
            made = sum(span.name in free for span in wanted) + max(0, room)
            for span in wanted[:made]:
                await _create(connection, span)
        refused = {span.name for span in wanted[made:]}
        return frozenset(time for time in times if span_of(time).name in refused)

    async def partitions(self) -> list[Partition]:
        """See PartitionRepository."""
        async with self._database.connection() as connection:
            return await _read(connection)

    async def needed_locks(self) -> int | None:
        """See PartitionRepository."""
        async with self._database.connection() as connection:
            needed = await connection.fetchval(NEEDED_LOCKS, self._database.pool_use().most)
        return None if needed is None else int(needed)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """See PartitionRepository."""
        async with self._own_connection() as connection:  # its end frees the lock, whatever happens
            yield bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _DROPPING))

    async def detach(self, name: str) -> None:
        """See PartitionRepository."""
        try:
            async with self._own_connection() as connection:
                await connection.execute(MARK.format(name=_quoted(name)))
                await connection.execute(DETACH.format(name=_quoted(name)))
        except Exception:
            await self._unmark()
            raise

    async def detached(self) -> list[str]:
        """See PartitionRepository."""
        await self._unmark()
        async with self._own_connection() as connection:
            rows = await connection.fetch(DETACHED)
            for row in rows:
                if row["interrupted"]:
                    await connection.execute(FINALIZE.format(name=_quoted(row["relname"])))
        return [row["relname"] for row in rows]

    async def _unmark(self) -> None:
        async with self._own_connection() as connection:
            for row in await connection.fetch(MARKED_IN_VAIN):
                await connection.execute(UNMARK.format(name=row["inhrelid"]))

    async def count(self, name: str) -> int:
        """See PartitionRepository."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(f"SELECT count(*) FROM {_quoted(name)}"))

    async def forget_keys(self, name: str) -> None:
        """See PartitionRepository."""
        last: tuple[object, object] | None = ("00000000-0000-0000-0000-000000000000", "-infinity")
        while last is not None:
            async with self._database.connection() as connection:
                row = await connection.fetchrow(FORGET_KEYS.format(name=_quoted(name)), *last, _BATCH)
            last = None if row is None else (row["id"], row["timestamp"])

    async def drop(self, name: str) -> None:
        """See PartitionRepository."""
        async with self._database.transaction() as connection:
            await connection.execute(UNCOUNT_WORDS.format(name=_quoted(name)))
            await connection.execute(f"DROP TABLE {_quoted(name)}")

    async def forget_deleted(self, before: datetime) -> int:
        """See PartitionRepository."""
        gone = 0
        while True:
            async with self._database.connection() as connection:
                batch = int((await connection.execute(FORGET_DELETED, before, _BATCH)).split()[-1])
            gone += batch
            if batch < _BATCH:
                return gone

    @asynccontextmanager
    async def _own_connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """One outside of the pool: a detachment may wait for long, and callers must not wait for it."""
        async with translated():
            connection = await self._database.connect()
            try:
                yield connection
            finally:
                await connection.close(timeout=2)


async def _read(connection: Connection) -> list[Partition]:
    return [Partition(**row) for row in await connection.fetch(PARTITIONS)]


def _without(times: Iterable[datetime], there: Iterable[Partition]) -> set[Span]:
    """What has to be made for these times beside what is there."""

    def has(time: datetime) -> bool:
        return any(
            (one.start_time is None or one.start_time <= time) and (one.end_time is None or time < one.end_time)
            for one in there
        )

    return {span_of(time) for time in times if not has(time)}


async def _create(connection: Connection, span: Span) -> None:
    try:
        await connection.execute(CREATE.format(name=span.name))
    except asyncpg.DuplicateTableError:
        raise FailedPreconditionError(
            f"the table {span.name} exists and is no partition of events: attach it again, or rename it"
        ) from None
    start = "MINVALUE" if span.start is None else f"'{span.start.isoformat()}'"
    end = "MAXVALUE" if span.end is None else f"'{span.end.isoformat()}'"
    await connection.execute(ATTACH.format(name=span.name, start=start, end=end))
    for index in await connection.fetch(INDEX_NAMES, span.name):
        await connection.execute(RENAME_INDEX.format(found=_quoted(index["found"]), wanted=_quoted(index["wanted"])))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
