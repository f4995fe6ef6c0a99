"""Events in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from servicekit import context
from servicekit.errors import DeadlineExceededError, UnavailableError
from store.database import Connection, Database
from store.events import (
    EmbeddingSpace,
    EmbeddingState,
    Event,
    EventFilter,
    Json,
    NewEvent,
    Position,
    SearchHit,
    Vector,
)
from store.repositories import statements
from store.repositories.events import KnownKeys, PendingEvent, Settled, VectorSample
from store.spaces import EVENTS_COLUMN, require_same_space

Row: TypeAlias = asyncpg.Record

#: Attempts at a transaction that others got in the way of.
_ATTEMPTS = 4


class PostgresEvents:
    """The EventRepository of a running store. One transaction a method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, request_ids: Sequence[str], ids: Sequence[UUID]) -> KnownKeys:
        """See EventRepository."""
        if not request_ids and not ids:
            return KnownKeys({}, frozenset())
        async with self._database.connection() as connection:
            rows = await connection.fetch(statements.KNOWN, list(request_ids), list(ids))
        return KnownKeys(
            by_request={row["request_id"]: _event(row) for row in rows if row["request_id"] is not None},
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
            row = await connection.fetchrow(statements.GET, event_id)
        return None if row is None else _event(row)

    async def page(self, matching: EventFilter, after: Position | None, limit: int) -> list[Event]:
        """See EventRepository."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                statements.LIST,
                *_conditions(matching),
                None if after is None else after.timestamp,
                None if after is None else after.id,
                limit,
            )
        return [_event(row) for row in rows]

    async def search(
        self, vector: Vector, space: EmbeddingSpace | None, matching: EventFilter, limit: int
    ) -> list[SearchHit]:
        """See EventRepository.

        The index comes first. It looks at a bounded number of rows, so that a filter may leave it with less than was
        asked for; then all rows of the filter are compared.
        """
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                statements.BEGIN_SEARCH, str(max(100, 2 * limit)), _statement_timeout(), EVENTS_COLUMN
            )
            stored = _space(row)
            require_same_space(stored, space, has_unrecorded_vectors=_flag(row))
            if stored is None:
                return []
            arguments = (vector, *_conditions(matching), limit)
            rows = await connection.fetch(statements.SEARCH, *arguments)
            if len(rows) < limit:
                await connection.execute(statements.WITHOUT_INDEX_SCAN)
                rows = await connection.fetch(statements.SEARCH, *arguments)
        return [SearchHit(_event(row), min(1.0, max(-1.0, row["similarity"]))) for row in rows]

    async def pending(self, limit: int) -> list[PendingEvent]:
        """See EventRepository."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(statements.PENDING, limit)
        return [
            PendingEvent(row["id"], row["timestamp"], _object(row["content"]), update_time=row["update_time"])
            for row in rows
        ]

    async def count_pending(self) -> int:
        """See EventRepository."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(statements.COUNT_PENDING))

    async def settle(self, settled: Sequence[Settled], space: EmbeddingSpace | None) -> None:
        """See EventRepository."""
        rows = [
            (one.pending.id, one.pending.timestamp, one.pending.update_time, one.state.value, one.embedding)
            for one in settled
        ]
        async with self._database.transaction() as connection:
            await connection.executemany(statements.SETTLE, rows)
            if space is not None:
                await _hold_space(connection, space, written=(one.pending.id for one in settled))

    async def space(self) -> EmbeddingSpace | None:
        """See EventRepository."""
        async with self._database.connection() as connection:
            return _space(await connection.fetchrow(statements.SPACE, EVENTS_COLUMN, []))

    async def sample(self, limit: int) -> list[VectorSample]:
        """See EventRepository."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(statements.SAMPLE, limit)
        return [VectorSample(_object(row["content"]), row["embedding"].to_numpy()) for row in rows]

    async def adopt_space(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """See EventRepository."""
        async with self._database.transaction() as connection:
            return await _register(connection, space)


async def _create(
    connection: Connection, events: Sequence[NewEvent], space: EmbeddingSpace | None
) -> list[Event | None]:
    rows = await connection.fetch(
        statements.INSERT_KEYS,
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
        statements.INSERT_EVENT,
        [
            (one.id, one.timestamp, one.content, one.metadata, one.embedding, one.embedding_state.value, now)
            for one in fresh
        ],
    )
    # After the rows, not before: having written to the table we hold it, and nobody can change its space any more.
    if space is not None and any(event.embedding is not None for event in fresh):
        await _hold_space(connection, space, written=kept)
    return [_stored(event, now) if event.id in kept else None for event in events]


async def _hold_space(connection: Connection, space: EmbeddingSpace, *, written: Iterable[UUID]) -> None:
    """Check that `space` is that of the stored vectors, those just `written` aside; record it when there are none."""
    row = await connection.fetchrow(statements.SPACE, EVENTS_COLUMN, list(written))
    stored = _space(row)
    require_same_space(stored, space, has_unrecorded_vectors=_flag(row))
    if stored is None:
        require_same_space(await _register(connection, space), space, has_unrecorded_vectors=False)


async def _register(connection: Connection, space: EmbeddingSpace) -> EmbeddingSpace:
    """Record the space unless there is one; of two at once, the second waits for the first. Returns what there is."""
    await connection.execute(
        statements.REGISTER_SPACE,
        EVENTS_COLUMN,
        space.model_name,
        space.revision,
        space.dimension,
        space.fingerprint,
    )
    return _space(await connection.fetchrow(statements.SPACE, EVENTS_COLUMN, [])) or space


def _statement_timeout() -> str:
    """Milliseconds that the caller's deadline leaves, as PostgreSQL wants them; 0 is no limit."""
    left = context.remaining()
    if left is None:
        return "0"
    if left <= 0:
        raise DeadlineExceededError("the deadline passed before the search began")
    return str(max(1, int(left * 1000)))


def _conditions(matching: EventFilter) -> tuple[Json | None, datetime | None, datetime | None]:
    return matching.metadata or None, matching.start_time, matching.end_time


def _space(row: Row | None) -> EmbeddingSpace | None:
    if row is None or row["fingerprint"] is None:
        return None
    return EmbeddingSpace(row["model_name"], row["revision"], row["dimension"], row["fingerprint"])


def _flag(row: Row | None) -> bool:
    return row is not None and bool(row["has_unrecorded_vectors"])


def _stored(event: NewEvent, now: datetime) -> Event:
    return Event(event.id, event.timestamp, event.content, event.metadata, event.embedding_state, now, now)


def _event(row: Row) -> Event:
    return Event(
        id=row["id"],
        timestamp=row["timestamp"],
        content=_object(row["content"]),
        metadata=_object(row["metadata"]),
        embedding_state=EmbeddingState(row["embedding_state"]),
        create_time=row["create_time"],
        update_time=row["update_time"],
    )


def _object(value: Any) -> Json:
    """Adopted rows may hold any JSON; answers hold objects."""
    return value if isinstance(value, dict) else {"value": value}
