"""Import a real text through the gateway, ask questions, check the answers; then the same with code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from deploy.local import demo_code
from deploy.local.demo_output import answers_text, bar
from deploy.local.passages import Passage, passages, source
from deploy.local.questions import FIRST, QUESTIONS, Question
from trimem.client import AlreadyExistsError, AsyncTrimemClient, EmbeddingState, Event, NewEvent, TrimemError


class DemoError(RuntimeError):
    """The demonstration failed. The message is for people."""


@dataclass
class Summary:
    """What came of it."""

    passages: int = 0
    stored: int = 0
    import_seconds: float = 0.0
    answer_seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def run(address: str, console: Console) -> Summary:
    """Run against the gateway at `address`. The summary lists the questions that were answered wrongly."""
    summary = Summary()
    try:
        async with AsyncTrimemClient(address) as memory:
            await _import(memory, passages(), console, summary)
            for number, question in enumerate(QUESTIONS, start=1):
                await _ask(memory, number, question, console, summary)
            _conclude(console, summary)
            code = await demo_code.run(memory, console)
    except TrimemError as error:
        raise DemoError(error.message) from error
    summary.wrong.extend([*code.not_indexed, *code.wrong])
    return summary


async def _import(memory: AsyncTrimemClient, found: Sequence[Passage], console: Console, summary: Summary) -> None:
    console.print(f"\n[bold]Importing[/] {source()}: {len(found):,} passages of {len({p.topic for p in found})} topics")
    summary.passages = len(found)
    began = time.perf_counter()
    with bar(console) as progress:
        task = progress.add_task("embed and store", total=len(found), rate="")
        waiting = iter(found)
        async with aclosing(memory.create_many(map(_event, found))) as results:
            async for result in results:
                summary.stored += _is_new(next(waiting), result)
                done = progress.tasks[task].completed + 1
                progress.update(task, completed=done, rate=f"{done / (time.perf_counter() - began):,.0f}/s")
    summary.import_seconds = time.perf_counter() - began
    known = summary.passages - summary.stored
    console.print(
        f"  {summary.stored:,} stored and embedded, {known:,} were there already, in {summary.import_seconds:.1f} s"
    )


def _event(passage: Passage) -> NewEvent:
    return NewEvent(
        id=passage.id,
        content={"text": f"{passage.title}\n\n{passage.text}"},
        metadata={"source": "pydoc_data.topics", "topic": passage.topic, "section": passage.section},
    )


def _is_new(passage: Passage, result: Event | TrimemError) -> bool:
    """Whether this run has stored it. Passages have ids of their own: one that is there already is not an error."""
    if isinstance(result, AlreadyExistsError):
        return False
    where = f"passage {passage.position} of {passage.topic}"
    if isinstance(result, TrimemError):
        raise DemoError(f"{where}: {result.message}")
    if result.embedding_state is not EmbeddingState.EMBEDDED:
        raise DemoError(f"{where} is {result.embedding_state}, not EMBEDDED")
    return True


async def _ask(memory: AsyncTrimemClient, number: int, question: Question, console: Console, summary: Summary) -> None:
    wanted = {"source": "pydoc_data.topics", **dict(question.only)}
    began = time.perf_counter()
    page = await memory.search(question.text, metadata_filter=wanted, page_size=FIRST)
    seconds = time.perf_counter() - began
    summary.answer_seconds.append(seconds)
    within = f" [dim](only {', '.join(f'{key} = {value}' for key, value in question.only)})[/]" if question.only else ""
    console.print(f"\n[bold]{number}. {escape(question.text)}[/]{within}  [dim]{seconds * 1000:.0f} ms[/]")
    for hit in page.hits:
        topic = hit.event.metadata["topic"]
        mark = "[green]✓[/]" if topic == question.topic else " "
        room = max(40, console.width - len(f"  ✓ 0.000 {topic}: "))
        snippet = escape(_snippet(hit.event, room))
        console.print(f"  {mark} [cyan]{hit.score:.3f}[/] [bold]{escape(topic)}[/]: {snippet}", soft_wrap=True)
    if question.topic not in {hit.event.metadata["topic"] for hit in page.hits}:
        summary.wrong.append(f"{question.text} (expected the topic {question.topic!r})")
        console.print(f"  [red]✗ the topic {question.topic!r} is not among the first {FIRST}[/]")


def _snippet(event: Event, width: int) -> str:
    _title, _, text = event.content["text"].partition("\n\n")
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def _conclude(console: Console, summary: Summary) -> None:
    rate = f" ({summary.stored / summary.import_seconds:,.0f}/s)" if summary.stored else ""
    console.print(
        f"\n[bold]Summary[/]  {summary.passages:,} passages, {summary.stored:,} of them new{rate}; "
        + answers_text("questions", len(QUESTIONS), summary.wrong, summary.answer_seconds)
    )
