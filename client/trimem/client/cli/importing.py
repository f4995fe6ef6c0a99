"""`trimem import`."""

import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trimem.client import Event, ImportSummary, NewEvent, TrimemClient, TrimemError
from trimem.client.batches import tally
from trimem.client.cli.arguments import examples
from trimem.client.cli.failures import FAILED, UsageProblem, complain
from trimem.client.cli.ndjson import BadLineError, Line, event_of_line, read_lines
from trimem.client.cli.output import AsJson, emit
from trimem.client.cli.session import session_of
from trimem.client.errors import AlreadyExistsError
from trimem.client.structs import json_text

#: Rejected lines that are shown when nobody asked for a file of them.
_SHOWN = 10

IMPORT_EXAMPLES = examples(
    "trimem import events.ndjson --rejects rejected.ndjson",
    "trimem export --since 2026-01-01 | trimem --url other:50050 import -",
    "jq -c '{content: {text: .message}, timestamp: .time}' log.ndjson | trimem import -",
)


def import_events(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="NDJSON, an event a line; - is stdin")],
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="where to write lines that were not stored, and why")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store events of a file, any number of them.

    A line is an object with `content`, and if you like `id`, `timestamp`, `metadata`, and `vector` with
    `vector_fingerprint`. After an interruption run it again: what is stored already is skipped. A line without an id
    gets one made of what it says, so equal lines are one event.

    Exit status 1 when lines were rejected; the others are stored. With --json the counts as one document. The rejects
    are NDJSON: `line` (number), `reason` and `text`.
    """
    with ExitStack() as stack:
        source = _opened(stack, file)
        rejected = Rejects(stack, rejects)
        client = stack.enter_context(session_of(context).open_for_long())
        bar = Bar(source)
        importing = Import(client, source, rejected, bar)
        try:
            with bar:
                importing.run()
        finally:
            _report(importing.summary, rejected, as_json=as_json, is_done=importing.is_done)
    if rejected.count:
        raise typer.Exit(FAILED)


class Import:
    """One run: lines in, results beside them."""

    def __init__(self, client: TrimemClient, source: BinaryIO, rejects: "Rejects", bar: "Bar") -> None:
        self._client = client
        self._source = source
        self._rejects = rejects
        self._bar = bar
        #: Lines that are with the server; the results come in their order.
        self._waiting: deque[Line] = deque()
        self.summary = ImportSummary()
        self.is_done = False

    def run(self) -> None:
        """Store all lines. Raises TrimemError when that cannot go on."""
        with closing(self._client.create_many(self._events())) as results:
            for result in results:
                self._settle(self._waiting.popleft(), result)
        self.is_done = True

    def _events(self) -> Iterator[NewEvent]:
        for line in read_lines(self._source):
            try:
                event = event_of_line(line)
            except BadLineError as error:
                self._rejects.add(line, str(error))
            else:
                self._waiting.append(line)
                yield event

    def _settle(self, line: Line, result: Event | TrimemError) -> None:
        self.summary = tally(self.summary, [result])
        if isinstance(result, TrimemError) and not isinstance(result, AlreadyExistsError):
            self._rejects.add(line, result.message)
        self._bar.show(line.end, self.summary)


class Rejects:
    """Lines that were not stored."""

    def __init__(self, stack: ExitStack, path: Path | None) -> None:
        self.count = 0
        self.path = path
        self._file = None
        if path is not None:
            try:
                self._file = stack.enter_context(path.open("w", encoding="utf-8"))
            except OSError as error:
                raise UsageProblem(f"--rejects {path} cannot be written: {error.strerror}") from None

    def add(self, line: Line, reason: str) -> None:
        """Write a line down, or show it if it is one of the first."""
        self.count += 1
        if self._file is not None:
            text = line.text.decode(errors="replace")
            self._file.write(json_text({"line": line.number, "reason": reason, "text": text}) + "\n")
        elif self.count <= _SHOWN:
            complain(f"line {line.number}: {reason}")


class Bar(Progress):
    """Progress on a terminal, and nothing elsewhere. As long as it is there, what is printed stands above it."""

    def __init__(self, source: BinaryIO) -> None:
        console = Console(stderr=True)
        size = _size(source)
        begin = (BarColumn(), TimeRemainingColumn()) if size else (SpinnerColumn(), TimeElapsedColumn())
        super().__init__(
            *begin, TextColumn("{task.description}"), console=console, transient=True, disable=not console.is_terminal
        )
        self._bytes = self.add_task("importing", total=size)

    def show(self, position: int, summary: ImportSummary) -> None:
        """Show how far it is."""
        self.update(self._bytes, completed=position, description=f"{summary.settled:,} events")


def _report(summary: ImportSummary, rejects: Rejects, *, as_json: bool, is_done: bool) -> None:
    counts = {
        "stored": summary.stored,
        "existing": summary.existing,
        "rejected": rejects.count,
        "pending": summary.pending,
    }
    text = f"{summary.stored:,} stored, {summary.existing:,} were there already, {rejects.count:,} rejected"
    if summary.pending:
        text += f"; {summary.pending:,} will be embedded later"
    if not is_done:
        complain(f"broken off after {text}: run it again to go on")
    elif as_json:
        emit(counts)
    else:
        print(text)
    if rejects.count and rejects.path is None:
        complain("--rejects FILE keeps the rejected lines and the reasons")


def _opened(stack: ExitStack, file: str) -> BinaryIO:
    if file == "-":
        return typer.get_binary_stream("stdin")
    try:
        return stack.enter_context(Path(file).open("rb"))
    except OSError as error:
        raise UsageProblem(f"{file} cannot be read: {error.strerror}") from None


def _size(source: BinaryIO) -> int | None:
    """Bytes of a file; None for what has no end to be known."""
    try:
        found = os.fstat(source.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
