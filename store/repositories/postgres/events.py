"""Events in PostgreSQL."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import asyncpg

from servicekit.errors import AbortedError, UnavailableError
from store.database import Connection, Database
from store.errors import TimesRefusedError
from store.events import EmbeddingSpace, Event, EventFilter, NewEvent, Position
from store.repositories.events import REPEATED_BYTES, EventChange, KnownKeys
from store.repositories.partitions import PartitionRepository
from store.repositories.postgres.known_keys import known_keys
from store.repositories.postgres.rows import EVENT_COLUMNS, conditions, event_of
from store.repositories.postgres.spaces import hold_space
from store.repositories.postgres.transact import transact

#: Milliseconds that a change waits for its event. A batch of the backfill holds its events up to a minute.
_LOCK_TIMEOUT = 2000

#: Seconds after which a change of an event that others held is worth another try.
_RETRY_AFTER = 5

T = TypeVar("T")

# Keys are written in one order by everybody, so that two batches with common keys wait for each other and not in a
# circle. now() is the start of the transaction: the same for all events of a batch.
INSERT_KEYS = """
    INSERT INTO event_keys (event_id, timestamp, request_id)
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS new (event_id, timestamp, request_id)
    ORDER BY new.request_id, new.event_id
    ON CONFLICT DO NOTHING
    RETURNING event_id, now() AS now
"""

#: What is written of a new event, in the order of `_row`.
COLUMNS = (
    "id",
    "timestamp",
    "content",
    "metadata",
    "embedding",
    "embedding_state",
    "embedding_error",
    "terms",
    "term_counts",
    "term_total",
    "create_time",
    "update_time",
)

# An id of the monolith may have two rows; the newest has the id, here as in GET.
_THIS = "id = $1 AND timestamp = (SELECT timestamp FROM events WHERE id = $1 ORDER BY timestamp DESC LIMIT 1)"

# The time of the last change is what the backfill knows a state of an event by: it must grow, whatever the clock does.
_GROWN = "greatest(now(), update_time + interval '1 microsecond')"

UPDATE_CONTENT = f"""
    UPDATE events
    SET content = $2, embedding = $3, embedding_state = $4, embedding_error = $5,
        terms = $6, term_counts = $7, term_total = $8,
        embedding_attempts = 0, embedding_retry_time = NULL, update_time = {_GROWN}
    WHERE {_THIS}
    RETURNING {EVENT_COLUMNS}
"""

UPDATE_METADATA = f"""
    UPDATE events SET metadata = $2, update_time = {_GROWN}
    WHERE {_THIS}
    RETURNING {EVENT_COLUMNS}
"""

DELETE = """
    WITH gone AS (DELETE FROM events WHERE id = $1 RETURNING id, timestamp)
    INSERT INTO event_keys (event_id, timestamp, delete_time)
    SELECT id, max(timestamp), now() FROM gone GROUP BY id
    ON CONFLICT (event_id) DO UPDATE SET delete_time = excluded.delete_time
    RETURNING event_id
"""

# With its time an event is looked for in one partition. What others wrote beside the store has no key, and the key of a
# row of the monolith may have a time that Python cannot hold: those are looked for in all.
GET_TIME = "SELECT timestamp FROM event_keys WHERE event_id = $1"
GET_AT = f"SELECT {EVENT_COLUMNS} FROM events WHERE id = $1 AND timestamp = $2"
GET = f"SELECT {EVENT_COLUMNS} FROM events WHERE id = $1 ORDER BY timestamp DESC LIMIT 1"

LIST = f"""
    SELECT {EVENT_COLUMNS} FROM events
    WHERE ($1::jsonb IS NULL OR metadata @> $1)
      AND ($2::timestamptz IS NULL OR timestamp >= $2)
      AND ($3::timestamptz IS NULL OR timestamp < $3)
      AND ($4::text IS NULL OR embedding_state = $4)
      AND ($5::timestamptz IS NULL OR (timestamp, id) < ($5, $6::uuid))
    ORDER BY timestamp DESC, id DESC
    LIMIT $7
"""


class PostgresEvents:
    """See EventRepository."""

    def __init__(self, database: Database, partitions: PartitionRepository) -> None:
        self._database = database
        self._partitions = partitions

    async def known(
        self, request_ids: Sequence[str], ids: Sequence[UUID], room: int | None = REPEATED_BYTES
    ) -> KnownKeys:
        """See EventRepository."""
        if not request_ids and not ids:
            return KnownKeys({}, frozenset())
        async with self._database.connection() as connection:
            return await known_keys(connection, request_ids, ids, room)

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """See EventRepository."""

        async def work(connection: Connection) -> list[Event | None]:
            return await _create(connection, events, space)

        otherwise = UnavailableError("too many writes of the same keys at once")
        try:
            return await transact(self._database, work, otherwise)
        except asyncpg.CheckViolationError as error:
            if error.constraint_name is not None:
                raise
        # There is no partition for one of them: months to come are made ahead, those of the past when they are needed.
        if refused := await self._partitions.ensure({event.timestamp for event in events}):
            raise TimesRefusedError(refused)
        return await transact(self._database, work, otherwise)

    async def update(self, event_id: UUID, change: EventChange, space: EmbeddingSpace | None) -> Event | None:
        """See EventRepository."""

        return await self._change(lambda connection: _update(connection, event_id, change, space))

    async def delete(self, event_id: UUID) -> bool:
        """See EventRepository."""

        return await self._change(lambda connection: connection.fetchrow(DELETE, event_id)) is not None

    async def get(self, event_id: UUID) -> Event | None:
        """See EventRepository."""
        async with self._database.connection() as connection:
            time = await connection.fetchval(GET_TIME, event_id)
            row = None if time is None else await connection.fetchrow(GET_AT, event_id, time)
            if row is None:
                row = await connection.fetchrow(GET, event_id)
        return None if row is None else event_of(row)

    async def page(self, matching: EventFilter, after: Position | None, limit: int) -> list[Event]:
        """See EventRepository."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                LIST,
                *conditions(matching),
                matching.embedding_state,
                None if after is None else after.timestamp,
                None if after is None else after.id,
                limit,
            )
        return [event_of(row) for row in rows]

    async def _change(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Change one event in a transaction. Gives up soon on one that others hold.

        A few calls that wait with a connection each would stop all others.
        """

        async def change(connection: Connection) -> T:
            await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT}")
            try:
                return await work(connection)
            except asyncpg.LockNotAvailableError as error:
                raise AbortedError(
                    "the event is being embedded, or changed by others", retry_after=_RETRY_AFTER
                ) from error

        return await transact(self._database, change, AbortedError("others keep changing the event", retry_after=1))


async def _create(
    connection: Connection, events: Sequence[NewEvent], space: EmbeddingSpace | None
) -> list[Event | None]:
    rows = await connection.fetch(
        INSERT_KEYS,
        [event.id for event in events],
        [event.timestamp for event in events],
        [event.request_id for event in events],
    )
    if not rows:
        return [None] * len(events)
    now: datetime = rows[0]["now"]
    kept = {row["event_id"] for row in rows}
    fresh = [event for event in events if event.id in kept]
    # The keys have decided which events are new: no staging table has to sort out the others. From 1 to 1,000 events
    # COPY is never slower than INSERT, and the triggers run once.
    await connection.copy_records_to_table("events", columns=COLUMNS, records=[_row(event, now) for event in fresh])
    # After the rows, not before: having written to the table we hold it, and nobody can change its space any more.
    if space is not None and any(event.embedding is not None for event in fresh):
        await hold_space(connection, space, written=kept)
    return [_stored(event, now) if event.id in kept else None for event in events]


async def _update(
    connection: Connection, event_id: UUID, change: EventChange, space: EmbeddingSpace | None
) -> Event | None:
    row = None
    if change.content is not None:
        content = change.content
        row = await connection.fetchrow(UPDATE_CONTENT, event_id, content.content, *_searchable(content))
        if row is not None and content.embedding is not None and space is not None:
            await hold_space(connection, space, written=[event_id])
    if change.metadata is not None:
        row = await connection.fetchrow(UPDATE_METADATA, event_id, change.metadata)
    return None if row is None else event_of(row)


def _row(event: NewEvent, now: datetime) -> tuple[object, ...]:
    return (event.id, event.timestamp, event.content, event.metadata, *_searchable(event), now, now)


def _searchable(event: NewEvent) -> tuple[object, ...]:
    """What an event is found by."""
    words = event.words
    return (
        event.embedding,
        event.embedding_state.value,
        event.embedding_error,
        words.terms,
        words.counts,
        words.total,
    )


def _stored(event: NewEvent, now: datetime) -> Event:
    return Event(
        event.id,
        event.timestamp,
        event.content,
        event.metadata,
        event.embedding_state,
        create_time=now,
        update_time=now,
        embedding_error=event.embedding_error,
    )
