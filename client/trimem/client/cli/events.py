"""`trimem events`."""

import json
from itertools import islice
from typing import Annotated

import typer

from trimem.client import EmbeddingState, Event, NotFoundError
from trimem.client.cli.arguments import MetadataFilter, Since, Until, examples, read_metadata
from trimem.client.cli.failures import NOT_FOUND, complain, explain, plain
from trimem.client.cli.output import AsJson, document_of, emit, event_row, show_table, time_text
from trimem.client.cli.session import session_of

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at single events.")

#: Events of a page, at most.
_LARGEST_PAGE = 1000

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="UUIDs of events")]


@app.command(
    "list",
    epilog=examples(
        "trimem events list -n 20",
        "trimem events list --state FAILED",
        "trimem events list --since 2026-01-01 --until 2026-02-01 -n 0 --json | wc -l",
    ),
)
def list_events(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="most events; 0 is all")] = 50,
    metadata: MetadataFilter = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[
        EmbeddingState | None, typer.Option(case_sensitive=False, help="only events whose embedding got this far")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List events, newest first. With --json one event a line."""
    with session_of(context).open() as client:
        found = client.list(
            metadata_filter=read_metadata(metadata),
            start_time=since,
            end_time=until,
            embedding_state=state,
            page_size=min(limit or _LARGEST_PAGE, _LARGEST_PAGE),
        )
        events = islice(found, limit or None)
        if as_json:
            for event in events:
                emit(document_of(event))
        else:
            show_table(("ID", "TIME", "STATE", "TEXT"), map(event_row, events))


@app.command(
    epilog=examples(
        "trimem events get 0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4a11",
        "trimem events get 0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4a11 --json | jq .content",
    )
)
def get(context: typer.Context, ids: Ids, as_json: AsJson = False) -> None:
    """Show events. With --json one event a line."""
    with session_of(context).open() as client:
        for event_id in ids:
            event = client.get(event_id)
            if as_json:
                emit(document_of(event))
            else:
                _show(event)


@app.command(epilog=examples("trimem events delete 0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4a11"))
def delete(context: typer.Context, ids: Ids) -> None:
    """Delete events for good."""
    missing = False
    with session_of(context).open() as client:
        for event_id in ids:
            try:
                client.delete(event_id)
            except NotFoundError as error:
                missing = True
                complain(explain(error))
    if missing:
        raise typer.Exit(NOT_FOUND)


def _show(event: Event) -> None:
    facts = {
        "id": event.id,
        "timestamp": time_text(event.timestamp),
        "state": f"{event.embedding_state or ''} {event.embedding_error}".strip(),
        "stored": time_text(event.create_time),
        "changed": time_text(event.update_time),
    }
    for name, value in facts.items():
        print(f"{name:<10} {plain(value)}")
    for name, tree in (("content", event.content), ("metadata", event.metadata)):
        lines = json.dumps(tree, ensure_ascii=False, indent=2).splitlines()
        print(f"{name:<10} " + "\n".join(plain(line) for line in lines))
