"""A status for programs and for people."""

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from store.repositories.status import ConnectionUse, DatabaseStatus
from store.use_cases.administer import StoreStatus


def status_document(status: StoreStatus) -> dict[str, Any]:
    """What GetStatusResponse says, as JSON with the names of its fields, and numbers as numbers."""
    database = status.database
    return {
        "database_version": database.database_version,
        "pgvector_version": database.pgvector_version,
        "migration_revision": database.revision,
        "event_count": database.rows,
        "pending_count": status.backlog.pending,
        "failed_count": status.backlog.failed,
        "oldest_pending_time": _text(status.backlog.oldest_pending_time),
        "backfill_paused": status.is_paused,
        "spaces": [
            {
                "column": column,
                "model_name": space.model_name,
                "revision": space.revision,
                "dimension": space.dimension,
                "fingerprint": space.fingerprint,
            }
            for column, space in database.spaces.items()
        ],
        "partitions": [
            {
                "name": one.name,
                "start_time": _text(one.start_time),
                "end_time": _text(one.end_time),
                "row_count": one.rows,
                "bytes": one.size,
            }
            for one in database.partitions
        ],
        "indexes": [
            {"name": one.name, "table": one.table, "bytes": one.size, "valid": one.valid} for one in database.indexes
        ],
        "pool": {
            "open_count": status.pool.open,
            "idle_count": status.pool.idle,
            "max_count": status.pool.most,
        },
        "database_bytes": database.size,
    }


def print_status(status: StoreStatus, connections: ConnectionUse, console: Console) -> None:
    """Tables for people."""
    database, backlog = status.database, status.backlog
    console.print(
        f"PostgreSQL {database.database_version}, pgvector {database.pgvector_version}, "
        f"schema {database.revision}, {_size(database.size)}",
        highlight=False,
    )
    console.print(_events(status), highlight=False)
    if backlog.failed:
        console.print(
            "FAILED events say why in embedding_error (ListEvents); `python -m store backfill retry` tries them again",
            highlight=False,
        )
    console.print(
        f"connections of running stores: {connections.open} open, {connections.busy} busy, {connections.idle} idle",
        highlight=False,
    )
    for table in (_spaces(database), _partitions(database), _indexes(database)):
        console.print(table)


def _events(status: StoreStatus) -> str:
    backlog = status.backlog
    since = "" if backlog.oldest_pending_time is None else f" (the oldest since {_minute(backlog.oldest_pending_time)})"
    paused = "; [yellow]the backfill is paused[/]" if status.is_paused else ""
    failed = f"[red]{backlog.failed:,} failed[/]" if backlog.failed else "0 failed"
    return f"about {status.database.rows:,} events, {backlog.pending:,} pending{since}, {failed}{paused}"


def _spaces(database: DatabaseStatus) -> Table:
    table = _table("models of the stored vectors", "column", "model", "dimensions", "fingerprint")
    for column, space in database.spaces.items():
        revision = f"@{space.revision}" if space.revision else ""
        table.add_row(column, f"{space.model_name}{revision}", str(space.dimension), space.fingerprint[:12])
    return table


def _partitions(database: DatabaseStatus) -> Table:
    table = _table("partitions of events", "name", "from", "to", "events, about", "size")
    for one in database.partitions:
        start, end = ("" if time is None else _minute(time) for time in (one.start_time, one.end_time))
        table.add_row(one.name, start, end, f"{one.rows:,}", _size(one.size))
    return table


def _indexes(database: DatabaseStatus) -> Table:
    table = _table("indexes", "name", "table", "size", "valid")
    for one in database.indexes:
        table.add_row(one.name, one.table, _size(one.size), "yes" if one.valid else "[red]no[/]")
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("dimensions", "events, about", "size") else "left")
    return table


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _size(count: int) -> str:
    """Bytes, as people read them."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
