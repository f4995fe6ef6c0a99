"""`trimem code`: what there is, and what is in it."""

import sys
from typing import Annotated

import typer

from trimem.client import CodeChunk
from trimem.client.cli import code_graph, code_index, code_search
from trimem.client.cli.arguments import examples
from trimem.client.cli.code_snippets import show_lines
from trimem.client.cli.failures import UsageProblem, complain, plain
from trimem.client.cli.output import AsJson, document_of, emit, show_table, time_text
from trimem.client.cli.session import session_of

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Index code, search it, and see who calls what.")
app.command(epilog=code_index.INDEX_EXAMPLES)(code_index.index)
app.command(epilog=code_search.SEARCH_EXAMPLES)(code_search.search)
app.command(epilog=code_graph.CALLERS_EXAMPLES)(code_graph.callers)
app.command(epilog=code_graph.GRAPH_EXAMPLES)(code_graph.graph)

Name = Annotated[str, typer.Argument(metavar="REPOSITORY", help="name of the repository")]


@app.command("list", epilog=examples("trimem code list", "trimem code list --json | jq -r .name"))
def list_repositories(context: typer.Context, as_json: AsJson = False) -> None:
    """List repositories, by name. With --json one a line."""
    with session_of(context).open() as client:
        found = client.list_repositories()
        if as_json:
            for one in found:
                emit(document_of(one))
            return
        rows = [
            (
                str(one.files),
                str(one.chunks),
                time_text(one.commit_time, "seconds") if one.commit_time else "never",
                one.name + (" (has changes that are not committed)" if one.has_uncommitted_changes else ""),
            )
            for one in found
        ]
        show_table(("FILES", "CHUNKS", "COMMITTED", "REPOSITORY"), rows)


@app.command(
    epilog=examples(
        "trimem code files acme/backend --path src/",
        "trimem code files acme/backend --path '**/*.go' --json | jq -r .path",
    )
)
def files(
    context: typer.Context,
    repository: Name,
    path: Annotated[str, typer.Option(metavar="PATH", help="only paths that begin with this, or match this glob")] = "",
    as_json: AsJson = False,
) -> None:
    """List the files of a repository, by path. With --json one a line."""
    with session_of(context).open() as client:
        found = client.list_files(repository, path=path)
        if as_json:
            for one in found:
                emit(document_of(one))
        else:
            rows = (
                (one.language, str(one.lines), str(one.chunks), one.path + (f" ({one.note})" if one.note else ""))
                for one in found
            )
            show_table(("LANGUAGE", "LINES", "CHUNKS", "PATH"), rows)


@app.command(epilog=examples("trimem code show 0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4a11"))
def show(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="UUIDs of chunks, as a search shows them")],
    as_json: AsJson = False,
) -> None:
    """Show chunks. With --json one a line."""
    with session_of(context).open() as client:
        for chunk_id in ids:
            chunk = client.get_chunk(chunk_id)
            if as_json:
                emit(document_of(chunk))
            else:
                _show(chunk)


@app.command(epilog=examples("trimem code delete acme/backend --yes"))
def delete(
    context: typer.Context,
    repository: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Delete all that is kept of a repository; the folder that it came from stays as it is."""
    if not yes:
        if not sys.stdin.isatty():
            raise UsageProblem("there is nobody to ask: --yes deletes without asking")
        typer.confirm(plain(f"Delete all that is kept of {repository}?"), abort=True)
    with session_of(context).open() as client:
        gone = client.delete_repository(repository)
    complain(f"{repository}: {gone.files:,} files, {gone.chunks:,} chunks deleted")


def _show(chunk: CodeChunk) -> None:
    where = f"{chunk.repository} {chunk.path}:{chunk.start_line}-{chunk.end_line}"
    print(plain(f"{where}  {chunk.qualified_name}  {(chunk.kind or '').lower()}  {chunk.language}"))
    if chunk.embedding_error:
        complain(f"found by names only: {chunk.embedding_error}")
    show_lines(chunk.content.removesuffix("\n").split("\n"), chunk.start_line, chunk.language)
