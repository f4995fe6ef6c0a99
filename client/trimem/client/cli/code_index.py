"""`trimem code index`."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from trimem.client.cli.arguments import examples
from trimem.client.cli.code_ignoring import repository_name
from trimem.client.cli.code_progress import Bar
from trimem.client.cli.code_reading import Folder
from trimem.client.cli.code_sending import Sending
from trimem.client.cli.code_walking import Found, Selection, Skipped, Walk
from trimem.client.cli.failures import FAILED, UsageProblem, complain, plain
from trimem.client.cli.output import AsJson, emit
from trimem.client.cli.session import session_of

INDEX_EXAMPLES = examples(
    "trimem code index .",
    "trimem code index ~/src/backend --repository acme/backend --exclude 'tests/data/'",
    "trimem code index . --dry-run | wc -l",
)

#: What is said of files that are passed over without anybody having chosen that.
_SURPRISES = {
    Skipped.LINK: "a symbolic link is not followed",
    Skipped.BINARY: "is binary, and not indexed",
    Skipped.TOO_LARGE: "is larger than --max-bytes, and not indexed",
}


def index(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="folder of the repository")],
    repository: Annotated[
        str | None,
        typer.Option(
            "--repository", "-r", metavar="NAME", help="[default: owner/name of its origin, or the folder's name]"
        ),
    ] = None,
    commit: Annotated[
        bool, typer.Option("--commit/--no-commit", help="delete what is gone, and resolve calls and imports")
    ] = True,
    keep_others: Annotated[
        bool, typer.Option("--keep-others", help="do not delete files of the repository that were not found")
    ] = False,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="only these files; as in .gitignore; may be repeated")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="not these files; as in .gitignore; may be repeated")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="also vendored and generated files: node_modules, dist, *.min.js …")
    ] = False,
    most_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="skip larger files")] = 1024 * 1024,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say which files would be indexed")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the code in a folder searchable, and go on where the last time ended.

    Files that are stored already are not sent again. What .gitignore excludes, vendored folders, binary and large files
    are skipped, and symbolic links are never followed. A file that cannot be read or stored is reported, keeps what is
    stored of it, and stops no other; so does one that became binary or too large.

    Exit status 1 when there was a file that failed; the others are indexed. With --json the counts as one document,
    with `problems` (path, reason), `skipped_files` (the same; links, binary and large files) and `notes` (path, note).
    """
    selection = Selection(include or (), exclude or (), everything, most_bytes)
    with ExitStack() as stack:
        try:
            folder = Folder(path)
        except OSError as error:
            raise UsageProblem(f"{path} is not a folder that can be read: {error.strerror}") from None
        stack.callback(folder.close)
        name = repository or repository_name(folder)
        if dry_run:
            found = Walk(folder, selection).run()
            failed = len(found.problems)
            _show_plan(name, found, as_json=as_json)
        else:
            client = stack.enter_context(session_of(context).open_for_long())
            found = Walk(folder, selection).run()
            sending = Sending(client, folder, name, found, most_bytes=most_bytes)
            try:
                with Bar(len(found.files)) as bar:
                    sending.run(bar, commit=commit, keep_others=keep_others)
            finally:
                _report(sending, as_json=as_json)
            failed = sending.failed
    if failed:
        raise typer.Exit(FAILED)


def _show_plan(name: str, found: Found, *, as_json: bool) -> None:
    if as_json:
        emit({"repository": name, "files": found.files, "skipped": found.skipped, "problems": _pairs(found.problems)})
        return
    for path in found.files:
        print(plain(path))
    for path, skipped in found.skipped.items():
        complain(f"{path}: {skipped}")
    for path, problem in found.problems.items():
        complain(f"{path}: {problem}")
    complain(f"{name}: {len(found.files):,} files would be indexed{_skipped_text(found)}")


def _report(sending: Sending, *, as_json: bool) -> None:
    found, result = sending.found, sending.result
    text = (
        f"{sending.repository}: {result.stored:,} files stored ({result.chunks:,} chunks, {result.embedded:,} of them "
        f"embedded), {result.unchanged:,} unchanged, {result.deleted:,} deleted, {sending.failed:,} failed"
    )
    surprising = {path: skipped for path, skipped in found.skipped.items() if skipped in _SURPRISES}
    for path, skipped in surprising.items():
        is_kept = "; what is stored of it is kept" if path in sending.kept else ""
        complain(f"{path}: {_SURPRISES[skipped]}{is_kept}")
    if unnamed := sending.failed - len(found.problems):
        complain(f"{unnamed:,} more files failed")
    if not sending.is_done:
        if result.settled:
            complain(f"broken off after {text}: run it again to go on")
    elif as_json:
        emit(
            {
                "repository": sending.repository,
                **{name: getattr(result, name) for name in ("stored", "unchanged", "deleted")},
                "failed": sending.failed,
                **{name: getattr(result, name) for name in ("chunks", "embedded", "nodes", "edges")},
                "skipped": found.counts(),
                "skipped_files": _pairs(surprising),
                "problems": _pairs(found.problems),
                "notes": [{"path": path, "note": note} for path, note in sending.notes.items()],
            }
        )
    else:
        print(plain(f"{text}{_skipped_text(found)}"))
        if result.nodes:
            print(f"the graph has {result.nodes:,} nodes and {result.edges:,} edges")
        if sending.notes:
            print(f"{len(sending.notes):,} files have something remarkable, such as syntax errors: --json says what")


def _skipped_text(found: Found) -> str:
    names = {Skipped.LINK.value: "symbolic links", Skipped.SPECIAL.value: "not regular files"}
    skipped = ", ".join(f"{count:,} {names.get(reason, reason)}" for reason, count in found.counts().items())
    hint = " (--all takes vendored ones)" if Skipped.VENDORED in found.skipped.values() else ""
    return f"; skipped {skipped}{hint}" if skipped else ""


def _pairs(problems: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"path": path, "reason": reason} for path, reason in problems.items()]
