"""Words of the command line as values."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from trimem.client.cli.failures import UsageProblem


def read_time(text: str) -> datetime:
    """An ISO 8601 date or time; UTC unless it says otherwise."""
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date or time such as 2026-01-31 or 2026-01-31T18:30:00Z") from None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def read_days(text: str) -> timedelta:
    """A number of days."""
    try:
        return timedelta(days=float(text))
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is not a number of days") from None


def read_metadata(pairs: Sequence[str] | None) -> dict[str, Any]:
    """A JSON object of `key=value` words. A value is JSON when it can be, else a string. Raises UsageProblem."""
    found: dict[str, Any] = {}
    for pair in pairs or ():
        key, separator, value = pair.partition("=")
        if not (separator and key):
            raise UsageProblem(f"--metadata {pair!r}: must be KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    return found


Since = Annotated[
    datetime | None,
    typer.Option(parser=read_time, metavar="TIME", help="at or after this time, such as 2026-01-31T18:30:00Z"),
]
Until = Annotated[datetime | None, typer.Option(parser=read_time, metavar="TIME", help="before this time")]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="metadata of the event; may be repeated"),
]
MetadataFilter = Annotated[
    list[str] | None,
    typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="only events with this metadata; may be repeated"),
]


def examples(*lines: str) -> str:
    """What `--help` ends with."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
