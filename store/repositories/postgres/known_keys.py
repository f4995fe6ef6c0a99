"""What is stored under the keys that a call brings, within a bound of memory."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from store.database import Connection
from store.events import Event
from store.repositories.events import KnownKeys, within_room
from store.repositories.postgres.rows import EVENT_COLUMNS, Row, event_of

# Most keys are new, and this names no partition of events: to plan for all of them costs more than to read it.
ARE_KNOWN = """
    SELECT EXISTS (SELECT FROM event_keys WHERE request_id = ANY($1::text[]) OR event_id = ANY($2::uuid[]))
"""

# A key without an event is that of a deleted one. LIMIT makes it look up each event by its key: for a thousand keys the
# planner would rather read all events. A size is that of the text: compressed, contents can be a hundredth of it.
KNOWN = """
    SELECT k.event_id, k.request_id, k.timestamp, e.id, e.bytes
    FROM event_keys k
    LEFT JOIN LATERAL (
        SELECT id, CASE WHEN $3 AND k.request_id = ANY($1::text[])
            THEN octet_length(content::text) + octet_length(metadata::text) ELSE 0 END AS bytes
        FROM events WHERE id = k.event_id AND timestamp = k.timestamp LIMIT 1
    ) e ON true
    WHERE k.request_id = ANY($1::text[]) OR k.event_id = ANY($2::uuid[])
"""

READ = f"""
    SELECT k.request_id, e.*
    FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS k (request_id, id, timestamp)
    CROSS JOIN LATERAL (
        SELECT {EVENT_COLUMNS} FROM events WHERE id = k.id AND timestamp = k.timestamp LIMIT 1
    ) e
"""

READ_WITHOUT_CONTENT = READ.replace("content, metadata", "'{}'::jsonb AS content, '{}'::jsonb AS metadata")


async def known_keys(
    connection: Connection, request_ids: Sequence[str], ids: Sequence[UUID], room: int | None
) -> KnownKeys:
    """See EventRepository.known."""
    keys = list(request_ids), list(ids)
    if not await connection.fetchval(ARE_KNOWN, *keys):
        return KnownKeys({}, frozenset())
    rows = await connection.fetch(KNOWN, *keys, room is not None)
    there = [row for row in rows if row["id"] is not None]
    gone = [row for row in rows if row["id"] is None]
    asked = Counter(request_ids)
    written = {row["request_id"]: row for row in there if row["request_id"] in asked}
    # Sizes first: contents of two megabytes each can be asked for with keys of a few bytes.
    fitting = within_room({key: row["bytes"] for key, row in written.items()}, asked, room)
    return KnownKeys(
        by_request=await _read(
            connection, [written[key] for key in fitting], READ_WITHOUT_CONTENT if room is None else READ
        ),
        ids=frozenset(row["event_id"] for row in there),
        deleted=frozenset({row[key] for row in gone for key in ("event_id", "request_id")} - {None}),
        unread=frozenset(written.keys() - fitting),
    )


async def _read(connection: Connection, rows: Sequence[Row], statement: str) -> dict[str, Event]:
    if not rows:
        return {}
    columns = [[row[name] for row in rows] for name in ("request_id", "event_id", "timestamp")]
    return {row["request_id"]: event_of(row) for row in await connection.fetch(statement, *columns)}
