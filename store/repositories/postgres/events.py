"""Events in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from servicekit.errors import UnavailableError
from store.database import Connection, Database
from store.events import EmbeddingSpace, Event, EventFilter, NewEvent, Position
from store.repositories.events import KnownKeys
from store.repositories.postgres.rows import conditions, event_of
from store.repositories.postgres.spaces import hold_space

#: Attempts at a transaction that others got in the way of.
_ATTEMPTS = 4

KNOWN = """
    SELECT k.event_id, k.request_id,
           e.id, e.timestamp, e.content, e.metadata, e.embedding_state, e.create_time, e.update_time
    FROM event_keys k JOIN events e ON e.id = k.event_id AND e.timestamp = k.timestamp
    WHERE k.request_id = ANY($1::text[]) OR k.event_id = ANY($2::uuid[])
"""

# Keys are written in one order by everybody, so that two batches with common keys wait for each other and not in a
# circle. now() is the start of the transaction: the same for all events of a batch.
INSERT_KEYS = """
    INSERT INTO event_keys (event_id, timestamp, request_id)
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS new (event_id, timestamp, request_id)
    ORDER BY new.request_id, new.event_id
    ON CONFLICT DO NOTHING
    RETURNING event_id, now() AS now
"""

INSERT_EVENT = """
    INSERT INTO events (id, timestamp, content, metadata, embedding, embedding_state, create_time, update_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
"""

GET = """
    SELECT id, timestamp, content, metadata, embedding_state, create_time, update_time
    FROM events WHERE id = $1 ORDER BY timestamp DESC LIMIT 1
"""

LIST = """
    SELECT id, timestamp, content, metadata, embedding_state, create_time, update_time
    FROM events
    WHERE ($1::jsonb IS NULL OR metadata @> $1)
      AND ($2::timestamptz IS NULL OR timestamp >= $2)
      AND ($3::timestamptz IS NULL OR timestamp < $3)
      AND ($4::timestamptz IS NULL OR (timestamp, id) < ($4, $5::uuid))
    ORDER BY timestamp DESC, id DESC
    LIMIT $6
"""


class PostgresEvents:
    """See EventRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, request_ids: Sequence[str], ids: Sequence[UUID]) -> KnownKeys:
        """See EventRepository."""
        if not request_ids and not ids:
            return KnownKeys({}, frozenset())
        async with self._database.connection() as connection:
            rows = await connection.fetch(KNOWN, list(request_ids), list(ids))
        return KnownKeys(
            by_request={row["request_id"]: event_of(row) for row in rows if row["request_id"] is not None},
            ids=frozenset(row["event_id"] for row in rows),
        )

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """See EventRepository."""
        for _ in range(_ATTEMPTS):
            try:
                async with self._database.transaction() as connection:
                    return await _create(connection, events, space)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                continue
        raise UnavailableError("too many writes of the same keys at once")

    async def get(self, event_id: UUID) -> Event | None:
        """See EventRepository."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(GET, event_id)
        return None if row is None else event_of(row)

    async def page(self, matching: EventFilter, after: Position | None, limit: int) -> list[Event]:
        """See EventRepository."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                LIST,
                *conditions(matching),
                None if after is None else after.timestamp,
                None if after is None else after.id,
                limit,
            )
        return [event_of(row) for row in rows]


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
    # asyncpg sends all rows at once and waits once.
    await connection.executemany(
        INSERT_EVENT,
        [
            (one.id, one.timestamp, one.content, one.metadata, one.embedding, one.embedding_state.value, now)
            for one in fresh
        ],
    )
    # After the rows, not before: having written to the table we hold it, and nobody can change its space any more.
    if space is not None and any(event.embedding is not None for event in fresh):
        await hold_space(connection, space, written=kept)
    return [_stored(event, now) if event.id in kept else None for event in events]


def _stored(event: NewEvent, now: datetime) -> Event:
    return Event(event.id, event.timestamp, event.content, event.metadata, event.embedding_state, now, now)
