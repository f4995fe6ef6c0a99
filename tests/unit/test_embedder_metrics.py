"""What Prometheus reads after real traffic through the parts as the service puts them together."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from embedder.domain import Domain, ModelState
from embedder.embedding import EmbedCommand, Embedding
from embedder.metrics import EmbedderMetrics
from embedder.models.errors import ModelUnusableError
from embedder.models.from_settings import new_runtime
from embedder.models.memory import MemoryBudget
from embedder.models.model import Loaded, Model
from embedder.models.registry import Models
from embedder.models.runtime import Runtime
from servicekit.errors import InvalidArgumentError
from tests.fixtures_embedder import PATIENCE, FixedMemory, ScriptedEngine, loaded, model_of, models_of, settings

TEXT, CODE = Domain.TEXT, Domain.CODE


@dataclass(frozen=True)
class Rig:
    """Two models of an embedder, and what it tells."""

    registry: CollectorRegistry
    shared: Runtime
    models: Models
    embedding: Embedding
    text: ScriptedEngine
    code: ScriptedEngine

    def value(self, name: str, **labels: str) -> float | None:
        """One sample as a scrape reads it, or None when there is no such sample."""
        return self.registry.get_sample_value(name, labels)

    def states(self, domain: str) -> dict[str, float | None]:
        """The samples of the state of a model that are not 0."""
        values = {each.value: self.value("trimem_model_state", domain=domain, state=each.value) for each in ModelState}
        return {state: value for state, value in values.items() if value != 0}

    async def until(self, expected: float, name: str, **labels: str) -> None:
        """Wait for a sample that changes beside the answer to a call."""
        async with asyncio.timeout(PATIENCE):
            while self.value(name, **labels) != expected:
                await asyncio.sleep(0.001)


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    """Put together like `python -m embedder` does it, but for the engines."""
    registry = CollectorRegistry()
    metrics = EmbedderMetrics(registry)
    shared = new_runtime(settings(embedding_cache_size=4), metrics)
    text, code = ScriptedEngine(), ScriptedEngine()

    def make(domain: Domain, *, name: str, engine: str, precision: str) -> Model:
        return model_of(lambda: loaded(ScriptedEngine()), name, shared=shared)

    models = Models(
        {
            TEXT: model_of(lambda: loaded(text), "prose", shared=shared),
            CODE: model_of(lambda: loaded(code, content="other"), "source", shared=shared),
        },
        make,
    )
    metrics.watch(models, shared.cache, rss=MemoryBudget(None, FixedMemory()).used)
    yield Rig(registry, shared, models, Embedding(models, metrics), text, code)
    for engine in (text, code):
        engine.go.set()  # whatever a failed test left waiting
    models.close()
    shared.close()


async def test_inputs_are_counted_by_domain_and_those_of_the_cache_apart(rig: Rig) -> None:
    await rig.embedding.embed(EmbedCommand(["a", "b c"]))
    await rig.embedding.embed(EmbedCommand(["a", "d e f"]))
    await rig.embedding.embed(EmbedCommand(["x"], CODE))
    counted = {
        name: (rig.value(name, domain="text"), rig.value(name, domain="code"))
        for name in ("trimem_embed_inputs_total", "trimem_embed_cached_inputs_total", "trimem_embed_tokens_total")
    }
    assert counted == {
        "trimem_embed_inputs_total": (4, 1),
        "trimem_embed_cached_inputs_total": (1, 0),
        "trimem_embed_tokens_total": (1 + 2 + 1 + 3, 1),
    }


async def test_calls_are_counted_for_each_model_that_answered_them(rig: Rig) -> None:
    await rig.embedding.embed(EmbedCommand(["a"], Domain.HYBRID))
    await rig.embedding.embed(EmbedCommand(["a"]))  # the cache answers, and that is a call, too
    assert rig.value("trimem_encode_seconds_count", domain="text") == 2
    assert rig.value("trimem_encode_seconds_count", domain="code") == 1
    assert (rig.value("trimem_encode_seconds_sum", domain="text") or 0) > 0
    assert rig.value("trimem_embed_inputs_total", domain="hybrid") is None


async def test_tokens_are_counted_before_truncation_and_batches_after_it(rig: Rig) -> None:
    await rig.embedding.embed(EmbedCommand(["word " * 20]))
    await rig.until(1, "trimem_batch_inputs_count", model="prose")
    assert rig.value("trimem_embed_tokens_total", domain="text") == 20
    assert rig.value("trimem_batch_tokens_total", model="prose") == 8


async def test_batches_are_counted_by_model_with_their_tokens_and_what_fills_them_up(rig: Rig) -> None:
    await rig.embedding.embed(EmbedCommand(["a b c", "a b c d", "a b c d e"]))
    await rig.until(1, "trimem_batch_seconds_count", model="prose")
    assert rig.text.batches == [[3, 4, 5]]
    assert rig.value("trimem_batch_inputs_count", model="prose") == 1
    assert rig.value("trimem_batch_inputs_sum", model="prose") == 3
    assert rig.value("trimem_batch_inputs_bucket", model="prose", le="2.0") == 0
    assert rig.value("trimem_batch_inputs_bucket", model="prose", le="4.0") == 1
    assert rig.value("trimem_batch_tokens_total", model="prose") == 12
    assert rig.value("trimem_batch_padding_tokens_total", model="prose") == 2 + 1
    assert rig.value("trimem_batch_inputs_count", model="source") is None


async def test_what_the_cache_answers_is_no_batch(rig: Rig) -> None:
    for _ in range(2):
        await rig.embedding.embed(EmbedCommand(["a"]))
    # Reported after all that came before it.
    await rig.embedding.embed(EmbedCommand(["b"]))
    await rig.until(2, "trimem_batch_inputs_count", model="prose")
    assert rig.text.batches == [[1], [1]]
    assert rig.value("trimem_embed_inputs_total", domain="text") == 3


async def test_the_cache_that_answers_is_the_one_that_is_measured(rig: Rig) -> None:
    assert (rig.value("trimem_cache_entries"), rig.value("trimem_cache_bytes")) == (0, 0)
    await rig.embedding.embed(EmbedCommand(["a"]))
    one = rig.value("trimem_cache_bytes")
    assert one is not None
    assert one > 4 * rig.text.dimension
    for text in ("b", "c", "d", "e"):
        await rig.embedding.embed(EmbedCommand([text]))
    assert rig.value("trimem_cache_entries") == 4  # all that it may keep
    assert rig.value("trimem_cache_bytes") == 4 * one
    rig.shared.cache.clear()
    assert rig.value("trimem_cache_entries") == 0


async def test_the_queue_shows_what_waits_and_is_empty_afterwards(rig: Rig) -> None:
    await rig.models.preload()
    assert [rig.value("trimem_queue_inputs", domain=name) for name in ("text", "code")] == [0, 0]
    rig.text.go.clear()
    running = asyncio.create_task(rig.embedding.embed(EmbedCommand(["a b"])))
    assert await asyncio.to_thread(rig.text.busy.wait, PATIENCE)
    waiting = asyncio.create_task(rig.embedding.embed(EmbedCommand(["c d e", "f g h i"])))
    await rig.until(3 + 4, "trimem_queue_tokens", domain="text")  # what is being run waits no more
    assert rig.value("trimem_queue_inputs", domain="text") == 3
    assert rig.value("trimem_queue_inputs", domain="code") == 0
    assert rig.value("trimem_queue_tokens", domain="code") == 0
    rig.text.go.set()
    await asyncio.gather(running, waiting)
    assert rig.value("trimem_queue_inputs", domain="text") == 0
    assert rig.value("trimem_queue_tokens", domain="text") == 0


async def test_a_model_has_one_state_and_weighs_something_while_it_is_loaded(rig: Rig) -> None:
    def weights() -> list[float | None]:
        return [rig.value("trimem_model_weight_bytes", domain=name) for name in ("text", "code")]

    assert (rig.states("text"), weights()) == ({"unloaded": 1}, [0, 0])
    await rig.models[TEXT].ready()
    assert (rig.states("text"), rig.states("code"), weights()) == ({"ready": 1}, {"unloaded": 1}, [100, 0])
    await rig.models[TEXT].unload()
    assert (rig.states("text"), weights()) == ({"unloaded": 1}, [0, 0])


async def test_the_state_of_a_domain_follows_a_swap(rig: Rig) -> None:
    await rig.models.swap(TEXT, name="new", engine="", precision="", allow_space_change=False, dry_run=False)
    assert (rig.states("text"), rig.value("trimem_model_weight_bytes", domain="text")) == ({"ready": 1}, 100)
    await rig.embedding.embed(EmbedCommand(["a"]))
    await rig.until(1, "trimem_batch_inputs_count", model="new")
    assert rig.value("trimem_batch_inputs_count", model="prose") is None


async def test_a_model_that_does_not_load_is_seen_loading_and_failed() -> None:
    seen: list[float | None] = []
    registry = CollectorRegistry()

    def state(name: str) -> float | None:
        return registry.get_sample_value("trimem_model_state", {"domain": "text", "state": name})

    def load() -> Loaded:
        seen.append(state("loading"))
        raise ModelUnusableError("broken")

    metrics = EmbedderMetrics(registry)
    shared = new_runtime(settings(), metrics)
    broken = model_of(load, shared=shared)
    models = models_of(broken, broken)
    metrics.watch(models, shared.cache, rss=lambda: 0)
    with pytest.raises(ModelUnusableError):
        await Embedding(models, metrics).embed(EmbedCommand(["a"]))
    assert (seen, state("failed"), state("loading")) == ([1], 1, 0)
    shared.close()


async def test_the_memory_of_the_process_is_what_the_budget_is_held_against(rig: Rig) -> None:
    assert rig.value("trimem_rss_bytes") == 12_345


@pytest.mark.parametrize("text", ["", "a b c d e f g h i"], ids=["empty", "too long"])
async def test_refused_calls_are_not_counted_as_embedded(rig: Rig, text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        await rig.embedding.embed(EmbedCommand([text], reject_truncation=True))
    assert rig.value("trimem_embed_inputs_total", domain="text") is None
    assert rig.value("trimem_queue_inputs", domain="text") == 0


async def test_every_metric_says_something_under_traffic(rig: Rig) -> None:
    """A metric that is added and never fed shows up here."""
    await rig.embedding.embed(EmbedCommand(["a", "b c"], Domain.HYBRID))
    await rig.embedding.embed(EmbedCommand(["a"]))
    for name in ("prose", "source"):
        await rig.until(1, "trimem_batch_inputs_count", model=name)
    rig.text.go.clear()
    running = asyncio.create_task(rig.embedding.embed(EmbedCommand(["d e"])))
    assert await asyncio.to_thread(rig.text.busy.wait, PATIENCE)
    waiting = asyncio.create_task(rig.embedding.embed(EmbedCommand(["f g h"])))
    await rig.until(3, "trimem_queue_tokens", domain="text")
    silent = [
        family.name
        for family in rig.registry.collect()
        if not any(sample.value for sample in family.samples if not sample.name.endswith("_created"))
    ]
    rig.text.go.set()
    await asyncio.gather(running, waiting)
    assert silent == []
