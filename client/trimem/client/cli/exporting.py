"""`trimem export`."""

from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

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
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="instead of stdout")] = None,
    metadata: MetadataFilter = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write events as NDJSON, newest first: what `import` reads.

    A line has `id`, `timestamp`, `content` and `metadata`; vectors are made anew by the store that imports them. After
    an interruption a line on stderr says which --until goes on, to be appended to what is there.
    """
    last: Event | None = None
    is_done = False
    with ExitStack() as stack:
        filters = read_metadata(metadata)
        client = stack.enter_context(session_of(context).open_for_long())
        file = typer.get_binary_stream("stdout")
        if output is not None:  # only now: an export of yesterday is worth more than an empty one
            try:
                file = stack.enter_context(output.open("wb"))
            except OSError as error:
                raise UsageProblem(f"--output {output} cannot be written: {error.strerror}") from None
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


def _after(moment: datetime) -> str:
    """The first time after it: other events of the very same time, which may be missing, come again."""
    return time_text(moment + timedelta(microseconds=1))
