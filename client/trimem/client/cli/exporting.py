"""`trimem export`."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from trimem.client import Event
from trimem.client.cli.arguments import MetadataFilter, Since, Until, examples, read_metadata
from trimem.client.cli.failures import UsageProblem, complain
from trimem.client.cli.ndjson import line_of_event
from trimem.client.cli.output import time_text
from trimem.client.cli.session import session_of

#: Events of a page: as many as the server gives.
_PAGE = 1000

EXPORT_EXAMPLES = examples(
    "trimem export -o memory.ndjson",
    "trimem export --since 2026-01-01 --until 2026-02-01 | gzip > january.ndjson.gz",
    "trimem export -m person=ada | jq -r .content.text",
)


def export(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="instead of stdout; FILE.part until all is there"),
    ] = None,
    metadata: MetadataFilter = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write events as NDJSON, newest first: what `import` reads.

    A line has `id`, `timestamp`, `content` and `metadata`; vectors are made anew by the store that imports them. After
    an interruption a line on stderr says which --until goes on, to be appended to what is there: with -o that is
    FILE.part, and FILE is as it was before.
    """
    last: Event | None = None
    is_done = False
    with ExitStack() as stack:
        filters = read_metadata(metadata)
        client = stack.enter_context(session_of(context).open_for_long())
        file = typer.get_binary_stream("stdout") if output is None else stack.enter_context(_file(output))
        events = client.list(metadata_filter=filters, start_time=since, end_time=until, page_size=_PAGE)
        try:
            with closing(events):
                for event in events:
                    file.write(line_of_event(event).encode() + b"\n")
                    last = event
            file.flush()
            is_done = True
        except BrokenPipeError:
            is_done = True  # nobody wants the rest
            raise
        finally:
            if not is_done and last is not None:
                complain(f"broken off: --until {_after(last.timestamp)} goes on")


@contextmanager
def _file(output: Path) -> Iterator[BinaryIO]:
    """What becomes `output` when the block ends well: until then an export of yesterday is worth more."""
    target = output.resolve()  # replacing a link would leave its target as it was
    is_special = target.exists() and not target.is_file()  # a pipe or a device
    part = target if is_special else target.with_name(f"{target.name}.part")
    try:
        file = part.open("wb")
        if target.exists() and not is_special:  # what was for its owner alone stays so
            os.fchmod(file.fileno(), target.stat().st_mode & 0o777)
    except OSError as error:
        raise UsageProblem(f"--output {output} cannot be written: {error.strerror}") from None
    with file:
        yield file
        if not is_special:
            file.flush()
            os.fsync(file.fileno())
            part.replace(target)


def _after(moment: datetime) -> str:
    """The first time after it: other events of the very same time, which may be missing, come again."""
    return time_text(moment + timedelta(microseconds=1))
