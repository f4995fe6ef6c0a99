"""Import a real text through the gateway, ask questions, check the answers."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.struct_pb2 import Struct
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.passages import Passage, passages, source
from deploy.local.questions import FIRST, QUESTIONS, Question
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as pb_grpc

BATCH = 32
#: Batches under way at once: one is embedded while the next one is decoded and the last one is stored.
CONCURRENT = 2


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
    async with grpc.aio.insecure_channel(address) as channel:
        events: pb_grpc.EventServiceAsyncStub = pb_grpc.EventServiceStub(channel)
        await _import(events, passages(), console, summary)
        for number, question in enumerate(QUESTIONS, start=1):
            await _ask(events, number, question, console, summary)
    _conclude(console, summary)
    return summary


async def _import(
    events: pb_grpc.EventServiceAsyncStub, found: Sequence[Passage], console: Console, summary: Summary
) -> None:
    console.print(f"\n[bold]Importing[/] {source()}: {len(found):,} passages of {len({p.topic for p in found})} topics")
    summary.passages = len(found)
    began = time.perf_counter()
    turn = asyncio.Semaphore(CONCURRENT)
    with Progress(
        TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), console=console,
    ) as progress:  # fmt: skip
        bar = progress.add_task("embed and store", total=len(found), rate="")

        async def send(batch: Sequence[Passage]) -> None:
            async with turn:
                stored = await _store(events, batch)
            summary.stored += stored  # not in one step with the await: others add meanwhile
            progress.update(bar, advance=len(batch))
            done = progress.tasks[bar].completed
            progress.update(bar, rate=f"{done / (time.perf_counter() - began):,.0f}/s")

        async with asyncio.TaskGroup() as group:
            for batch in _batches(found):
                group.create_task(send(batch))
    summary.import_seconds = time.perf_counter() - began
    known = summary.passages - summary.stored
    console.print(
        f"  {summary.stored:,} stored and embedded, {known:,} were there already, in {summary.import_seconds:.1f} s"
    )


def _batches(found: Sequence[Passage]) -> Iterator[Sequence[Passage]]:
    return (found[start : start + BATCH] for start in range(0, len(found), BATCH))


async def _store(events: pb_grpc.EventServiceAsyncStub, batch: Sequence[Passage]) -> int:
    """Store passages under ids of their own. Returns how many are new; one that is there already is not an error."""
    response = await events.BatchCreateEvents(
        pb.BatchCreateEventsRequest(requests=[pb.CreateEventRequest(event=_event(passage)) for passage in batch]),
        timeout=120,
    )
    stored = 0
    for passage, result in zip(batch, response.results, strict=True):
        if result.error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]:
            continue
        if result.HasField("error"):
            raise DemoError(f"passage {passage.position} of {passage.topic}: {result.error.message}")
        if result.event.embedding_state != pb.EMBEDDING_STATE_EMBEDDED:
            state = pb.EmbeddingState.Name(result.event.embedding_state)
            raise DemoError(f"passage {passage.position} of {passage.topic} is {state}, not EMBEDDED")
        stored += 1
    return stored


def _event(passage: Passage) -> pb.Event:
    content, metadata = Struct(), Struct()
    content.update({"text": f"{passage.title}\n\n{passage.text}"})
    metadata.update({"source": "pydoc_data.topics", "topic": passage.topic, "section": passage.section})
    return pb.Event(id=passage.id, content=content, metadata=metadata)


async def _ask(
    events: pb_grpc.EventServiceAsyncStub, number: int, question: Question, console: Console, summary: Summary
) -> None:
    request = pb.SearchEventsRequest(query=question.text, page_size=FIRST)
    request.metadata_filter.update({"source": "pydoc_data.topics", **dict(question.only)})
    began = time.perf_counter()
    response = await events.SearchEvents(request, timeout=30)
    seconds = time.perf_counter() - began
    summary.answer_seconds.append(seconds)
    within = f" [dim](only {', '.join(f'{key} = {value}' for key, value in question.only)})[/]" if question.only else ""
    console.print(f"\n[bold]{number}. {escape(question.text)}[/]{within}  [dim]{seconds * 1000:.0f} ms[/]")
    for hit in response.hits:
        topic = str(hit.event.metadata["topic"])
        mark = "[green]✓[/]" if topic == question.topic else " "
        room = max(40, console.width - len(f"  ✓ 0.000 {topic}: "))
        snippet = escape(_snippet(hit.event, room))
        console.print(f"  {mark} [cyan]{hit.score:.3f}[/] [bold]{escape(topic)}[/]: {snippet}", soft_wrap=True)
    if question.topic not in {str(hit.event.metadata["topic"]) for hit in response.hits}:
        summary.wrong.append(f"{question.text} (expected the topic {question.topic!r})")
        console.print(f"  [red]✗ the topic {question.topic!r} is not among the first {FIRST}[/]")


def _snippet(event: pb.Event, width: int) -> str:
    _title, _, text = str(event.content["text"]).partition("\n\n")
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def _conclude(console: Console, summary: Summary) -> None:
    right = len(QUESTIONS) - len(summary.wrong)
    rate = f" ({summary.stored / summary.import_seconds:,.0f}/s)" if summary.stored else ""
    console.print(
        f"\n[bold]Summary[/]  {summary.passages:,} passages, {summary.stored:,} of them new{rate}; "
        f"{right} of {len(QUESTIONS)} questions answered right; "
        f"median answer {statistics.median(summary.answer_seconds) * 1000:.0f} ms"
    )
