"""`python -m store reembed`: its wiring, its progress, and what it prints."""

import argparse
import contextlib
import json
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from store.database import Database
from store.events import EmbeddingSpace, ReembedPhase
from store.repositories.postgres.reembed import PostgresReembed, read_counts, read_job
from store.repositories.postgres.spaces import PostgresSpaces
from store.repositories.reembed import ReembedJob, ReembedRepository
from store.settings import StoreSettings
from store.use_cases.reembed import Reembed, ReembedOptions
from store.use_cases.reembed_undo import abandon, drop_old, roll_back
from store.wiring import open_embedder, operators_database

_DOING = {
    ReembedPhase.FILLING: "embedding",
    ReembedPhase.INDEXING: "indexing",
    ReembedPhase.VERIFYING: "verifying",
    ReembedPhase.READY: "exchanging",
}

_NEXT_STEPS = {
    ReembedPhase.READY: "everything is ready: run the command without --no-swap to exchange the vectors",
    ReembedPhase.SWAPPED: "set EMBEDDER_TARGET and EMBEDDING_DIMENSION={dimension} for the stores. Then "
    "`reembed --drop-old` drops the old vectors; until then `reembed --rollback` takes them back",
}

_AFTER_ROLLBACK = (
    "set EMBEDDER_TARGET and EMBEDDING_DIMENSION to those of the old model again. `reembed --embedder` goes to the new "
    "one once more; `reembed --abandon` drops its vectors"
)


async def run_reembed(options: argparse.Namespace, settings: StoreSettings) -> None:
    """Change the model, or say how far that is, or undo it, or tidy up."""
    console = Console(quiet=options.json)
    # One of them keeps others away and builds indexes; the others are for the work beside it.
    async with operators_database(settings, most_connections=4) as database:
        if options.status:
            document = await _status(database)
        elif options.dry_run:
            document = await _plan(database, options, settings)
        else:
            async with PostgresReembed.alone(database) as reembed:
                document = await _change(reembed, database, console, options, settings)
    if options.json:
        print(json.dumps(document, indent=2))  # noqa: T201 - the answer
    else:
        for name, value in document.items():
            console.print(f"[bold]{name.replace('_', ' ')}[/]: {_in_words(value)}", highlight=False)


async def _change(
    reembed: ReembedRepository,
    database: Database,
    console: Console,
    options: argparse.Namespace,
    settings: StoreSettings,
) -> dict[str, Any]:
    if options.drop_old:
        return {"dropped": _describe_space((await drop_old(reembed)).other_space)}
    if options.abandon:
        return {"abandoned": _describe_space((await abandon(reembed)).other_space)}
    async with contextlib.AsyncExitStack() as stack:
        embedder = None
        if options.embedder is not None:
            embedder = await stack.enter_async_context(open_embedder(settings, options.embedder))
        if options.rollback:
            job = await roll_back(reembed, embedder, options.batch)
            return _describe_job(job) | {"next": _AFTER_ROLLBACK}
        assert embedder is not None  # noqa: S101 - the command line asks for it
        with ProgressBar(console) as bar:
            job = await Reembed(reembed, PostgresSpaces(database), embedder, bar, _reembed_options(options)).run()
    counts = await read_counts(database, job.other_column)
    step = _NEXT_STEPS[job.phase].format(dimension=job.space.dimension)
    return _describe_job(job) | {"events_embedded": counts.embedded, "next": step}


async def _plan(database: Database, options: argparse.Namespace, settings: StoreSettings) -> dict[str, Any]:
    async with open_embedder(settings, options.embedder) as embedder, PostgresReembed.alone(database) as reembed:
        bar = ProgressBar(Console(quiet=True))
        plan = await Reembed(reembed, PostgresSpaces(database), embedder, bar, _reembed_options(options)).plan()
    return {
        "model": _describe_space(plan.space),
        "next_model": _describe_space(plan.other_space),
        "events_estimated": plan.events,
        "bytes_estimated": plan.bytes,
        "embedding_seconds_estimated": None if plan.seconds is None else round(plan.seconds, 1),
    }


def _reembed_options(options: argparse.Namespace) -> ReembedOptions:
    return ReembedOptions(
        batch=options.batch, rate=options.rate, min_recall=options.min_recall, swap=not options.no_swap
    )


class ProgressBar:
    """See ReembedObserver: one line a phase."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, phase: ReembedPhase, total: int) -> None:
        """See ReembedObserver."""
        if self._task is not None:
            self._progress.stop_task(self._task)
        self._task = self._progress.add_task(_DOING[phase], total=total or None)

    def progress(self, done: int, total: int | None = None) -> None:
        """See ReembedObserver."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total or self._progress.tasks[-1].total)


async def _status(database: Database) -> dict[str, Any]:
    job = await read_job(database)
    if job is None:
        return {"phase": None, "model": _describe_space(await PostgresSpaces(database).space())}
    counts = await read_counts(database, job.other_column)
    return _describe_job(job) | {
        "events_embedded": counts.embedded,
        f"events_with_{job.other_column.removeprefix('embedding_')}_vector": counts.filled,
        "events_refused": counts.refused,
        "events_missing": counts.missing,
    }


def _describe_job(job: ReembedJob) -> dict[str, Any]:
    return {
        "phase": job.phase.value,
        "model": _describe_space(job.space),
        f"{job.other_column.removeprefix('embedding_')}_model": _describe_space(job.other_space),
        "recall": job.recall,
    }


def _describe_space(space: EmbeddingSpace | None) -> str | None:
    return None if space is None else space.describe()


def _in_words(value: object) -> str:
    match value:
        case None:
            return "none"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.3f}"
    return str(value)
