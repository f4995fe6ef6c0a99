"""What the embedder says about its health."""

import asyncio
import queue

import pytest

from embedder.domain import Domain
from embedder.models.errors import ModelUnusableError
from embedder.models.model import STALLED_SECONDS, Loaded
from embedder.models.registry import Models
from embedder.tending import tend
from servicekit.errors import InternalError
from tests.fixtures_embedder import PATIENCE, ScriptedEngine, loaded, model_of, models_of

TEXT, CODE = Domain.TEXT, Domain.CODE


class Reports:
    """Keeps what is reported, and lets a test wait for it."""

    def __init__(self) -> None:
        self.all: list[tuple[Domain | None, bool]] = []
        self._more = asyncio.Event()

    async def __call__(self, domain: Domain | None, healthy: bool) -> None:
        self.all.append((domain, healthy))
        self._more.set()

    async def until(self, *expected: tuple[Domain | None, bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not set(expected) <= set(self.all):
                self._more.clear()
                await self._more.wait()
        self.all.clear()


async def tended(models: Models, reports: Reports) -> "asyncio.Task[None]":
    task = asyncio.create_task(tend(models, reports, idle_unload_seconds=0, interval=0.01))
    await asyncio.sleep(0)
    return task


async def test_memory_is_given_back_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trims: queue.SimpleQueue[None] = queue.SimpleQueue()
    monkeypatch.setattr("embedder.tending.trim_heap", lambda: trims.put(None))
    models = models_of(model_of(lambda: loaded(ScriptedEngine())), model_of(lambda: loaded(ScriptedEngine())))
    task = await tended(models, Reports())
    for _ in range(3):
        await asyncio.to_thread(trims.get, timeout=PATIENCE)
    task.cancel()
    models.close()


async def test_one_broken_domain_leaves_the_other_and_the_process_healthy() -> None:
    def broken() -> Loaded:
        raise ModelUnusableError("broken")

    models = models_of(model_of(lambda: loaded(ScriptedEngine())), model_of(broken))
    reports = Reports()
    task = await tended(models, reports)
    await reports.until((TEXT, True), (CODE, True), (None, True))
    with pytest.raises(ModelUnusableError):
        await models[CODE].ready()
    await reports.until((CODE, False))
    assert reports.all == []
    task.cancel()
    models.close()


async def test_the_death_and_the_return_of_a_worker_are_both_reported() -> None:
    engine = ScriptedEngine()
    models = models_of(model_of(lambda: loaded(engine)), model_of(lambda: loaded(ScriptedEngine())))
    reports = Reports()
    task = await tended(models, reports)
    encoder = await models[TEXT].ready()
    await reports.until((TEXT, True))

    def die(_count: int) -> object:
        raise SystemExit

    engine.answer = die  # type: ignore[assignment]
    with pytest.raises(InternalError):
        await encoder.encode(["a"], kind=next(iter(encoder.space.profile.prefixes)), dimensions=4)
    await reports.until((TEXT, False))
    await reports.until((TEXT, True))
    task.cancel()
    models.close()


async def test_a_batch_that_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine()
    models = models_of(model_of(lambda: loaded(engine)), model_of(lambda: loaded(ScriptedEngine())))
    reports = Reports()
    task = await tended(models, reports)
    encoder = await models[TEXT].ready()
    await reports.until((TEXT, True))
    monkeypatch.setattr(type(encoder.batcher), "busy_seconds", STALLED_SECONDS + 1)
    await reports.until((TEXT, False))
    monkeypatch.undo()
    await reports.until((TEXT, True))
    task.cancel()
    models.close()
