"""Answers for people and for programs."""

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trimem.client.cli.failures import plain
from trimem.client.structs import json_text
from trimem.client.types import Event, Json

#: The option that commands share.
AsJson = Annotated[bool, typer.Option("--json", help="for scripts: JSON instead of text")]

#: Columns of a table that goes into a pipe or a file.
_WIDE = 200


class _Printer(Console):
    """A console that leaves the end of a command to the command."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def emit(document: object) -> None:
    """A JSON document in one line."""
    print(json_text(document))


def document_of(value: object) -> Any:
    """A dataclass of the client as JSON, with its own names."""
    match value:
        case datetime():
            return time_text(value)
        case tuple() | list():
            return [document_of(item) for item in value]
        case dict():
            return value
        case _ if dataclasses.is_dataclass(value):
            return {field.name: document_of(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def printer() -> Console:
    """What prints for people: in colours and as wide as the terminal, if it is one."""
    return _Printer(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of which the last column takes what room there is."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings[:-1]:
        table.add_column(heading, no_wrap=True)
    table.add_column(headings[-1], no_wrap=True, overflow="ellipsis", ratio=1)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    printer().print(table)


def event_row(event: Event) -> tuple[str, str, str, str]:
    """Id, time, state and text of an event."""
    return event.id, time_text(event.timestamp, "seconds"), event.embedding_state or "", text_of(event.content)


def text_of(content: Json) -> str:
    """The text that an event is about, in one line."""
    text = content.get("text")
    return " ".join((text if isinstance(text, str) else json_text(dict(content))).split())


def time_text(value: datetime, precision: str = "auto") -> str:
    """A time as RFC 3339 in UTC."""
    return value.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
