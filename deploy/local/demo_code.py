"""Index real code through the gateway, ask questions about it, check the answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from rich.console import Console
from rich.markup import escape

from deploy.local.code_questions import CALL_QUESTION, CODE_QUESTIONS, FIRST, CallQuestion, CodeQuestion
from deploy.local.demo_output import answers_text, bar
from deploy.local.library import REPOSITORY, files, source
from trimem.client import (
    AsyncTrimemClient,
    CodeHit,
    EdgeDirection,
    FileToIndex,
    IndexResult,
    UnchangedFile,
)


@dataclass
class CodeSummary:
    """What came of it."""

    indexed: IndexResult = field(default_factory=IndexResult)
    index_seconds: float = 0.0
    answer_seconds: list[float] = field(default_factory=list)
    #: Files that failed.
    not_indexed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def run(memory: AsyncTrimemClient, console: Console) -> CodeSummary:
    """Index, ask, check. The summary lists what was answered wrongly."""
    summary = CodeSummary()
    await _index(memory, files(), console, summary)
    for number, question in enumerate(CODE_QUESTIONS, start=1):
        await _ask(memory, number, question, console, summary)
    await _ask_who_calls(memory, len(CODE_QUESTIONS) + 1, CALL_QUESTION, console, summary)
    _conclude(console, summary)
    return summary


async def _index(
    memory: AsyncTrimemClient, found: Sequence[tuple[str, bytes]], console: Console, summary: CodeSummary
) -> None:
    console.print(f"\n[bold]Indexing[/] {source()}: {len(found):,} files")
    began = time.perf_counter()
    known = {file.path: file.content_hash async for file in memory.list_files(REPOSITORY)}
    with bar(console) as progress:
        task = progress.add_task("cut, embed and store", total=len(found), rate="")

        def show(result: IndexResult) -> None:
            rate = f"{result.settled / (time.perf_counter() - began):,.0f} files/s"
            progress.update(task, completed=result.settled, rate=rate)

        indexed = await memory.index_files(REPOSITORY, _to_index(found, known), on_progress=show)
    for one in indexed.results:
        if one.error is not None:
            summary.not_indexed.append(f"{one.path} was not indexed: {one.error.message}")
    summary.indexed, summary.index_seconds = indexed, time.perf_counter() - began
    console.print(
        f"  {indexed.stored:,} files stored, {indexed.unchanged:,} were there already, {indexed.embedded:,} chunks "
        f"embedded, in {summary.index_seconds:.1f} s; the graph has {indexed.nodes:,} nodes and {indexed.edges:,} edges"
    )


def _to_index(found: Sequence[tuple[str, bytes]], known: dict[str, str]) -> Iterator[FileToIndex]:
    for path, content in found:
        content_hash = sha256(content).hexdigest()
        yield UnchangedFile(path, content_hash) if known.get(path) == content_hash else (path, content)


async def _ask(
    memory: AsyncTrimemClient, number: int, question: CodeQuestion, console: Console, summary: CodeSummary
) -> None:
    began = time.perf_counter()
    page = await memory.search_code(question.text, repository=REPOSITORY, path=question.only, page_size=FIRST)
    seconds = time.perf_counter() - began
    summary.answer_seconds.append(seconds)
    within = f" [dim](only {question.only})[/]" if question.only else ""
    text = " ".join(question.text.split())
    console.print(f"\n[bold]{number}. {escape(text)}[/]{within}  [dim]{seconds * 1000:.0f} ms[/]")
    for hit in page.hits:
        mark = "[green]✓[/]" if hit.chunk.path == question.path else " "
        console.print(f"  {mark} [cyan]{hit.score:.3f}[/] {_shown(hit)}", soft_wrap=True)
    if question.path not in {hit.chunk.path for hit in page.hits}:
        summary.wrong.append(f"{text} (expected {question.path})")
        console.print(f"  [red]✗ {question.path} is not among the first {FIRST}[/]")


def _shown(hit: CodeHit) -> str:
    chunk = hit.chunk
    name = f" {chunk.qualified_name}" if chunk.qualified_name else ""
    said = chunk.docstring.strip().partition("\n")[0]
    return f"[bold]{escape(chunk.path)}:{chunk.start_line}[/]{escape(name)}  [dim]{escape(said)}[/]"


async def _ask_who_calls(
    memory: AsyncTrimemClient, number: int, question: CallQuestion, console: Console, summary: CodeSummary
) -> None:
    began = time.perf_counter()
    namespace = f"code/{REPOSITORY}"
    found = memory.search_nodes(question.name, namespace=namespace)
    called = [node async for node in found if node.label == question.name]
    callers = set()
    console.print(f"\n[bold]{number}. who calls {question.name}?[/]", end="")
    if called:
        traversal = await memory.traverse(called[0].id, direction=EdgeDirection.IN, edge_types=["calls"])
        labels = {one.node.id: one.node for one in traversal.nodes}
        console.print(f"  [dim]{(time.perf_counter() - began) * 1000:.0f} ms[/]", end="")
        for edge in traversal.edges:
            caller = labels[edge.source_id]
            callers.add(caller.label)
            lines = ", ".join(str(line) for line in edge.properties.get("lines", ()))
            mark = "[green]✓[/]" if caller.label in question.callers else " "
            place = f"{caller.properties.get('path')}:{lines}"
            sure = (edge.confidence or "").lower()
            console.print(f"\n  {mark} [bold]{escape(caller.label)}[/]  {escape(place)}  [dim]{sure}[/]", end="")
    console.print()
    if missing := sorted(question.callers - callers):
        summary.wrong.append(f"who calls {question.name}? (expected {', '.join(missing)})")
        console.print(f"  [red]✗ {', '.join(missing)} is missing[/]")


def _conclude(console: Console, summary: CodeSummary) -> None:
    indexed, count = summary.indexed, len(CODE_QUESTIONS) + 1
    rate = f" ({indexed.embedded / summary.index_seconds:,.0f}/s)" if indexed.embedded else ""
    console.print(
        f"\n[bold]Summary[/]  {indexed.settled:,} files of code, {indexed.embedded:,} chunks embedded{rate}; "
        + answers_text("questions about code", count, summary.wrong, summary.answer_seconds)
    )
