"""`python -m store forget-code`: its wiring, and what it prints."""

import argparse
import json
import sys
from typing import Any

from rich.console import Console

from servicekit.errors import FailedPreconditionError
from store.events import EmbeddingSpace
from store.repositories.postgres.forget_code import CodeFacts, code_facts, forget_code
from store.settings import StoreSettings
from store.wiring import operators_database


async def run_forget_code(options: argparse.Namespace, settings: StoreSettings) -> None:
    """Say what there is of code, and delete it when that is wanted."""
    console = Console(quiet=options.json)
    async with operators_database(settings, most_connections=1) as database:
        facts = await code_facts(database)
        document = _document(facts) | {"dimension": settings.embedding_dimension}
        if not options.dry_run:
            _require_consent(options, facts, console)
            await forget_code(database, settings.embedding_dimension)
    said = {("would_forget" if options.dry_run else "forgotten"): document}
    if options.json:
        print(json.dumps(said, indent=2))  # noqa: T201 - the answer
        return
    for title, values in said.items():
        console.print(f"[bold]{title.replace('_', ' ')}[/]", highlight=False)
        for name, value in values.items():
            console.print(f"  {name.replace('_', ' ')}: {'none' if value is None else value}", highlight=False)


def _require_consent(options: argparse.Namespace, facts: CodeFacts, console: Console) -> None:
    """Code can be indexed again, at the cost of embedding all of it: not by mistake."""
    if options.yes or not facts.repositories:
        return
    if not sys.stdin.isatty() or options.json:
        raise FailedPreconditionError(f"deletes {_amount(facts)}: say --yes, or look with --dry-run")
    if console.input(f"delete {_amount(facts)}? [y/N] ").strip().lower() not in ("y", "yes"):
        raise FailedPreconditionError("nothing was deleted")


def _amount(facts: CodeFacts) -> str:
    return f"{facts.files:,} files of {facts.repositories:,} repositories, {facts.chunks:,} chunks"


def _document(facts: CodeFacts) -> dict[str, Any]:
    return {
        "repositories": facts.repositories,
        "files": facts.files,
        "chunks": facts.chunks,
        "text_model": _named(facts.text_space),
        "code_model": _named(facts.code_space),
    }


def _named(space: EmbeddingSpace | None) -> str | None:
    return None if space is None else space.describe()
