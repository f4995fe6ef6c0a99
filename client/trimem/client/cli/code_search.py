"""`trimem code search`."""

from typing import Annotated

import typer
from rich.text import Text

from trimem.client import CodeHit, CodeKind, CodeSearchMode, CodeSearchPage, TrimemClient
from trimem.client.cli.arguments import examples
from trimem.client.cli.code_snippets import show_lines
from trimem.client.cli.failures import complain, plain
from trimem.client.cli.output import AsJson, document_of, emit, printer
from trimem.client.cli.session import session_of
from trimem.client.options import CodeSearchOptions

#: Hits of a page, at most.
_LARGEST_PAGE = 100

SEARCH_EXAMPLES = examples(
    "trimem code search 'where do we retry failed uploads?'",
    "trimem code search parseHTTPHeader --mode NAMES --language go -n 3",
    "trimem code search 'open a file' --path 'src/**/*.py' --kind METHOD --json | jq -r '.hits[].chunk.path'",
)

RepositoryOption = Annotated[
    str, typer.Option("--repository", "-r", metavar="NAME", help="only this repository [default: all]")
]


def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="a question, a name, or a piece of code")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="most hits")] = 5,
    mode: Annotated[CodeSearchMode, typer.Option(case_sensitive=False, help="what to compare")] = CodeSearchMode.FUSED,
    repository: RepositoryOption = "",
    path: Annotated[str, typer.Option(metavar="PATH", help="only paths that begin with this, or match this glob")] = "",
    language: Annotated[
        list[str] | None, typer.Option("--language", "-l", help="only this language, such as python; may be repeated")
    ] = None,
    kind: Annotated[
        list[CodeKind] | None, typer.Option("--kind", "-k", case_sensitive=False, help="only this; may be repeated")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find code by what it does, by its names, or by code that is like it.

    A hit is `path:line`, its name and its id, and the lines that show best why it was found; lines with words of the
    query have a mark. With --json one document with `hits`, `mode`, `complete` and `degraded`.
    """
    options = CodeSearchOptions(
        mode=mode,
        repository=repository,
        path=path,
        languages=[name.lower() for name in language or ()],
        kinds=kind or (),
        page_size=min(limit, _LARGEST_PAGE),
    )
    with session_of(context).open() as client:
        hits, page = _first(client, query, limit, options)
    if as_json:
        emit({"hits": document_of(hits), "mode": page.mode, "complete": page.complete, "degraded": page.degraded})
        return
    for hit in hits:
        _show(hit)
    if not hits:
        complain("nothing found")
    if page.degraded:
        complain("found by names alone: the embedder cannot be reached")
    if not page.complete:
        complain("there may be better hits: narrow the search by repository, path, language or kind")


def _first(
    client: TrimemClient, query: str, limit: int, options: CodeSearchOptions
) -> tuple[list[CodeHit], CodeSearchPage]:
    """The first hits, and the page that the last of them is on, which tells how the search went."""
    hits: list[CodeHit] = []
    page = client.search_code(query, **options)
    hits.extend(page.hits)
    while len(hits) < limit and page.next_page_token:
        page = client.search_code(query, page_token=page.next_page_token, **options)
        hits.extend(page.hits)
    return hits[:limit], page


def _show(hit: CodeHit) -> None:
    chunk, snippet = hit.chunk, hit.snippet
    line = next(iter(snippet.matching_lines), snippet.start_line or chunk.start_line)
    head = Text.assemble(
        (f"{plain(chunk.path)}:{line}", "bold cyan"),
        f"  {plain(chunk.qualified_name)}" if chunk.qualified_name else "",
        (f"  {hit.score:.3f}  {plain(chunk.repository)}  {plain(chunk.id)}", "dim"),
        no_wrap=True,
    )
    printer().print(head, soft_wrap=True)
    show_lines(snippet.lines, snippet.start_line, chunk.language, snippet.matching_lines)
    print()
