"""`trimem embed`."""

import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from trimem.client import Domain, Embedding, InputKind, TrimemError
from trimem.client.cli.arguments import examples
from trimem.client.cli.failures import FAILED, complain, explain
from trimem.client.cli.output import AsJson, document_of, emit
from trimem.client.cli.session import session_of

EMBED_EXAMPLES = examples(
    "trimem embed 'a seat by the window'",
    "trimem embed 'def add(a, b): return a + b' --domain CODE --json",
    "trimem embed --json < one-text-a-line.txt > vectors.ndjson",
)


def embed(
    context: typer.Context,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="without any: lines of stdin")] = None,
    domain: Annotated[Domain, typer.Option(case_sensitive=False, help="which model")] = Domain.TEXT,
    kind: Annotated[InputKind, typer.Option(case_sensitive=False, help="what for")] = InputKind.DOCUMENT,
    dimensions: Annotated[int, typer.Option(min=0, help="length of the vectors; 0 is that of the model")] = 0,
    as_json: AsJson = False,
) -> None:
    """Embed texts. With --json a line for each: `index` and `embedding`, or `index` and `error`."""
    inputs: Iterable[str] = texts or (line.rstrip("\r\n") for line in sys.stdin)
    failed = False
    with session_of(context).open() as client:
        found = client.embed_many(inputs, domain=domain, kind=kind, dimensions=dimensions)
        for index, result in enumerate(found):
            if isinstance(result, TrimemError):
                failed = True
                if as_json:
                    emit({"index": index, "error": {"code": result.code.name, "message": result.message}})
                else:
                    complain(f"text {index}: {explain(result)}")
            elif as_json:
                emit({"index": index, "embedding": document_of(result)})
            else:
                _show(index, result)
    if failed:
        raise typer.Exit(FAILED)


def _show(index: int, embedding: Embedding) -> None:
    for name, vector in (("text", embedding.text), ("code", embedding.code)):
        if vector is not None:
            begin = " ".join(f"{value:+.4f}" for value in vector[:4])
            cut = ", the end is cut off" if embedding.truncated else ""
            print(f"{index} {name}: {begin} … ({len(vector)} dimensions, {embedding.token_count} tokens{cut})")
