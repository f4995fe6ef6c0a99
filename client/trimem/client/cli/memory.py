"""`trimem remember` and `trimem search`."""

import sys
from datetime import datetime, timedelta
from typing import Annotated

import typer

from trimem.client import NewEvent, SearchHit, SearchMode, SearchPage, TrimemClient
from trimem.client.cli.arguments import (
    Metadata,
    MetadataFilter,
    Since,
    Until,
    examples,
    read_days,
    read_metadata,
    read_time,
)
from trimem.client.cli.failures import UsageProblem, complain
from trimem.client.cli.output import AsJson, document_of, emit, show_table, text_of, time_text
from trimem.client.cli.session import session_of
from trimem.client.options import SearchOptions

#: Hits of a page, at most.
_LARGEST_PAGE = 100

REMEMBER_EXAMPLES = examples(
    "trimem remember 'Ada prefers the window seat on trains.' -m person=ada",
    "git log -1 --format=%B | trimem remember - -m repository=trimem",
    "trimem remember 'The boiler was serviced.' --at 2026-01-31T09:00:00Z --json",
)
SEARCH_EXAMPLES = examples(
    "trimem search 'where does Ada like to sit?'",
    "trimem search boiler --mode LEXICAL --since 2026-01-01 -m place=home",
    "trimem search 'train to Graz' --json | jq -r '.hits[].event.content.text'",
)


def remember(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="what to remember; - reads it from stdin")],
    metadata: Metadata = None,
    at: Annotated[
        datetime | None, typer.Option(parser=read_time, metavar="TIME", help="when it happened [default: now]")
    ] = None,
    event_id: Annotated[str | None, typer.Option("--id", metavar="UUID", help="id of the event")] = None,
    as_json: AsJson = False,
) -> None:
    """Store a text. Prints the id of the event; with --json the event as one document."""
    said = sys.stdin.read() if text == "-" else text
    if not said.strip():
        raise UsageProblem("there is nothing to remember: the text is empty")
    event = NewEvent(content={"text": said}, metadata=read_metadata(metadata), timestamp=at, id=event_id)
    with session_of(context).open() as client:
        stored = client.create(event)
    if as_json:
        emit(document_of(stored))
    else:
        print(stored.id)


def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="what to look for, in words")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="most hits")] = 10,
    mode: Annotated[SearchMode, typer.Option(case_sensitive=False, help="what to compare")] = SearchMode.HYBRID,
    metadata: MetadataFilter = None,
    since: Since = None,
    until: Until = None,
    min_similarity: Annotated[float | None, typer.Option(min=-1, max=1, help="least cosine of a hit")] = None,
    half_life: Annotated[
        timedelta | None,
        typer.Option(parser=read_days, metavar="DAYS", help="newer ones first: so much older is half the score"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find events by meaning and words. With --json one document with `hits`, `mode`, `complete` and `degraded`."""
    options = SearchOptions(
        mode=mode,
        metadata_filter=read_metadata(metadata),
        start_time=since,
        end_time=until,
        min_similarity=min_similarity,
        recency_half_life=half_life,
        page_size=min(limit, _LARGEST_PAGE),
    )
    with session_of(context).open() as client:
        hits, page = _first(client, query, limit, options)
    if as_json:
        emit(
            {
                "hits": document_of(hits),
                "mode": page.mode,
                "complete": page.complete,
                "degraded": page.degraded,
            }
        )
        return
    if hits:
        show_table(("SCORE", "TIME", "ID", "TEXT"), [_row(hit) for hit in hits])
    else:
        complain("nothing found")
    if page.degraded:
        complain("found by words alone: the embedder cannot be reached")
    if not page.complete:
        complain("there may be better hits: narrow the search by time or metadata")


def _first(client: TrimemClient, query: str, limit: int, options: SearchOptions) -> tuple[list[SearchHit], SearchPage]:
    """The first hits, and the page that the last of them is on, which tells how the search went."""
    hits: list[SearchHit] = []
    page = client.search(query, **options)
    hits.extend(page.hits)
    while len(hits) < limit and page.next_page_token:
        page = client.search(query, page_token=page.next_page_token, **options)
        hits.extend(page.hits)
    return hits[:limit], page


def _row(hit: SearchHit) -> tuple[str, str, str, str]:
    event = hit.event
    return f"{hit.score:.3f}", time_text(event.timestamp, "seconds"), event.id, text_of(event.content)
