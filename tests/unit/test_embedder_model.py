"""A model from its first use to its vectors."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from embedder.domain import Domain, InputKind, ModelState
from embedder.embedding import EmbedCommand, Embedding
from embedder.models.catalogue import ModelProfile
from embedder.models.errors import ModelUnreachableError, ModelUnusableError
from embedder.models.model import Loaded, Model
from embedder.room import BatcherClosedError
from servicekit.errors import InternalError, InvalidArgumentError
from tests.fixtures_embedder import PATIENCE, Records, ScriptedEngine, built, loaded, model_of, models_of, runtime

DOCUMENT, QUERY = InputKind.DOCUMENT, InputKind.QUERY


class Gate:
    """A loader that waits for leave, and counts."""

    def __init__(self) -> None:
        self.engine = ScriptedEngine()
        self.begun, self.go = threading.Event(), threading.Event()
        self.loads = 0

    def __call__(self) -> Loaded:
        self.loads += 1
        self.begun.set()
        assert self.go.wait(PATIENCE)
        return loaded(self.engine)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.go.set()  # whatever a failed test left waiting


def is_healthy(model: Model) -> bool:
    """The health now: see state_of."""
    return model.healthy


def state_of(model: Model) -> ModelState:
    """The state now; a type checker believes that an attribute stays as it was."""
    return model.state


async def begun(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, PATIENCE)


async def test_a_model_is_loaded_by_its_first_use_and_once_for_all_who_wait(gate: Gate) -> None:
    model = model_of(gate)
    assert (model.state, gate.loads) == (ModelState.UNLOADED, 0)
    waiting = [asyncio.create_task(model.ready()) for _ in range(5)]
    await begun(gate.begun)  # the loop runs on while the loader is stuck in its thread
    assert state_of(model) is ModelState.LOADING
    gate.go.set()
    encoders = await asyncio.gather(*waiting)
    assert state_of(model) is ModelState.READY
    assert {id(encoder) for encoder in encoders} == {id(await model.ready())}
    assert gate.loads == 1
    model.close()


async def test_a_caller_who_leaves_does_not_stop_the_load_for_others(gate: Gate) -> None:
    model = model_of(gate)
    leaving, staying = asyncio.create_task(model.ready()), asyncio.create_task(model.ready())
    await begun(gate.begun)
    leaving.cancel()
    gate.go.set()
    await staying
    assert leaving.cancelled()
    assert gate.loads == 1
    model.close()


async def test_a_failed_load_is_tried_again_by_the_next_call() -> None:
    outcomes: list[Exception | Loaded] = [
        ModelUnreachableError("hub is away"),
        ModelUnusableError("wrong dimension"),
        loaded(ScriptedEngine()),
    ]

    def load() -> Loaded:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    model = model_of(load)
    with pytest.raises(ModelUnreachableError, match="hub is away"):
        await model.ready()
    assert state_of(model) is ModelState.FAILED
    with pytest.raises(ModelUnreachableError, match="hub is away"):
        await model.ready()  # at once, without trying
    assert len(outcomes) == 2
    assert not is_healthy(model)
    with pytest.raises(ModelUnusableError, match="wrong dimension"):
        await model.ready(again=True)
    await model.ready(again=True)
    assert state_of(model) is ModelState.READY
    assert is_healthy(model)
    model.close()


async def test_a_failed_load_is_tried_again_without_a_call_but_not_at_once(gate: Gate) -> None:
    """Nobody calls a model that is unhealthy."""
    fail = [True, True, True, False]

    def load() -> Loaded:
        if fail.pop(0):
            raise ModelUnreachableError("hub is away")
        return gate()

    model, delays = model_of(load), list[float]()
    for left in (3, 2, 1):
        with pytest.raises(ModelUnreachableError):
            await model.ready(again=True)
        delays.append(round(model._retry_at - time.monotonic()))
        model.retry_failed()
        assert (len(fail), state_of(model)) == (left, ModelState.FAILED)  # it is too early
    assert delays == [1, 2, 4]
    model._retry_at = time.monotonic()
    model.retry_failed()
    await begun(gate.begun)
    assert not is_healthy(model)  # until it is there
    gate.go.set()
    await model.ready()
    assert is_healthy(model)
    model.close()


async def test_the_thread_that_has_loaded_a_model_ends(gate: Gate) -> None:
    """One that stays slows down all that compute: see Device."""
    threads: list[threading.Thread] = []

    def load() -> Loaded:
        threads.append(threading.current_thread())
        return gate()

    gate.go.set()
    model = model_of(load)
    await model.ready()
    await asyncio.to_thread(threads[0].join, PATIENCE)
    assert not threads[0].is_alive()
    model.close()


async def test_a_model_that_was_replaced_is_not_loaded_again(gate: Gate) -> None:
    gate.go.set()
    model = model_of(gate)
    await model.ready()
    await model.retire()
    with pytest.raises(BatcherClosedError):
        await model.ready()
    assert gate.loads == 1


async def test_a_fault_while_loading_is_reported_without_its_details() -> None:
    def load() -> Loaded:
        raise OSError("/secret/path")

    model = model_of(load, name="owner/name")
    with pytest.raises(ModelUnusableError, match="owner/name") as caught:
        await model.ready()
    assert "secret" not in caught.value.message
    assert state_of(model) is ModelState.FAILED
    model.close()


async def test_inputs_get_the_prefix_of_their_kind() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine, ModelProfile({DOCUMENT: "doc: ", QUERY: "ask: "})))
    await (await model.ready()).encode(["a"], kind=DOCUMENT, dimensions=4)
    encoded = await (await model.ready()).encode(["b c"], kind=QUERY, dimensions=4)
    assert engine.texts == [["doc: a"], ["ask: b c"]]
    assert encoded.token_counts == [3]  # the prefix counts
    model.close()


async def test_vectors_come_back_normalised_with_counts_in_input_order() -> None:
    model = model_of(lambda: loaded(ScriptedEngine(max_tokens=2)))
    encoded = await (await model.ready()).encode(["a", "a b c"], kind=DOCUMENT, dimensions=4)
    expected = np.array([[1, 1, 1, 1], [2, 1, 1, 1]]) / np.sqrt([[4], [7]])
    np.testing.assert_allclose(encoded.vectors, expected, rtol=1e-6)
    assert (encoded.token_counts, encoded.truncated) == ([1, 3], [False, True])
    model.close()


async def test_a_long_input_is_refused_by_index_before_the_model_runs() -> None:
    engine = ScriptedEngine(max_tokens=2)
    model = model_of(lambda: loaded(engine))
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\]: has 3 tokens, the model reads 2"):
        await (await model.ready()).encode(["a", "a b c"], kind=DOCUMENT, dimensions=4, reject_truncation=True)
    assert not engine.busy.is_set()
    model.close()


async def test_a_vector_without_direction_is_our_fault_and_says_nothing_more() -> None:
    engine = ScriptedEngine(answer=lambda n: np.zeros((n, 4), dtype=np.float32))
    model = model_of(lambda: loaded(engine))
    with pytest.raises(InternalError) as caught:
        await (await model.ready()).encode(["a"], kind=DOCUMENT, dimensions=4)
    assert caught.value.message == "internal error"
    model.close()


async def test_work_of_a_caller_who_left_is_dropped_before_it_costs() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine))
    encoder = await model.ready()
    engine.go.clear()
    running = asyncio.create_task(encoder.encode(["a"], kind=DOCUMENT, dimensions=4))
    await begun(engine.busy)
    leaving = asyncio.create_task(encoder.encode(["a b"], kind=DOCUMENT, dimensions=4))
    staying = asyncio.create_task(encoder.encode(["a b c"], kind=DOCUMENT, dimensions=4))
    async with asyncio.timeout(PATIENCE):
        while encoder.batcher.waiting_tokens < 5:
            await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    engine.go.set()
    await asyncio.gather(running, staying)
    assert engine.batches == [[1], [3]]
    model.close()


async def test_a_repeated_input_comes_from_the_cache_and_says_so() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine), shared=runtime(cache_entries=10))
    encoder = await model.ready()
    first = await encoder.encode(["a", "a b"], kind=DOCUMENT, dimensions=4)
    again = await encoder.encode(["a b", "a b c"], kind=DOCUMENT, dimensions=4)
    other = await encoder.encode(["a b"], kind=QUERY, dimensions=4)
    assert [first.cached, again.cached, other.cached] == [[False, False], [True, False], [False]]
    np.testing.assert_array_equal(again.vectors[0], first.vectors[1])
    assert (again.token_counts, again.truncated) == ([2, 3], [False, False])
    assert (again.timings.infer > 0, engine.batches[1:]) == (True, [[3], [2]])
    model.close()


@pytest.fixture
def without_collector() -> Iterator[None]:
    """No garbage collector: what is in a circle stays, as all does that was there when a model was loaded."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
async def test_an_unloaded_model_is_freed_and_loaded_again_by_the_next_call() -> None:
    engines: list[ScriptedEngine] = []
    freed = threading.Event()

    def load() -> Loaded:
        engine = ScriptedEngine()
        if not engines:
            weakref.finalize(engine, freed.set)
        engines.append(engine)
        return loaded(engine)

    model = model_of(load)
    await (await model.ready()).encode(["a"], kind=DOCUMENT, dimensions=4)
    engines[0] = ScriptedEngine()  # the test itself lets go of it
    await model.unload()
    assert (state_of(model), model.encoder) == (ModelState.UNLOADED, None)
    assert await asyncio.to_thread(freed.wait, PATIENCE)
    await (await model.ready()).encode(["a"], kind=DOCUMENT, dimensions=4)
    assert (state_of(model), len(engines)) == (ModelState.READY, 2)
    model.close()


async def test_unloading_waits_for_the_calls_in_flight() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine))
    encoder = await model.ready()
    engine.go.clear()
    running = asyncio.create_task(encoder.encode(["a"], kind=DOCUMENT, dimensions=4))
    await begun(engine.busy)
    unloading = asyncio.create_task(model.unload())
    await asyncio.sleep(0)
    assert not unloading.done()
    engine.go.set()
    assert (await running).token_counts == [1]
    await unloading
    assert state_of(model) is ModelState.UNLOADED


async def test_a_call_that_comes_while_a_model_is_unloaded_loads_it_again() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine))
    embedding = Embedding(models_of(model, model), Records())
    await embedding.embed(EmbedCommand(["a"]))
    calls = [asyncio.create_task(embedding.embed(EmbedCommand([f"a {'b ' * n}"]))) for n in range(5)]
    await asyncio.sleep(0)
    await asyncio.gather(model.unload(), *calls)
    assert (await embedding.embed(EmbedCommand(["a"]))).token_count(0) == 1
    model.close()


async def test_a_worker_that_died_makes_the_model_unhealthy_until_it_is_back() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine))
    seen: list[bool] = []
    encoder = await model.ready()
    model.on_health = lambda: seen.append(model.healthy)

    def die(_count: int) -> np.ndarray[Any, Any]:
        engine.answer = None
        raise SystemExit

    engine.answer = die
    with pytest.raises(InternalError):
        await encoder.encode(["a"], kind=DOCUMENT, dimensions=4)
    await encoder.encode(["a"], kind=DOCUMENT, dimensions=4)
    assert seen == [False, True]
    model.close()


async def test_a_failed_load_is_unhealthy_and_waiting_to_be_loaded_is_not() -> None:
    def load() -> Loaded:
        raise ModelUnusableError("broken")

    model = model_of(load)
    assert model.healthy
    with pytest.raises(ModelUnusableError):
        await model.ready()
    assert not model.healthy


def test_domains_with_equal_references_share_one_model() -> None:
    models = built()
    assert models[Domain.TEXT] is models[Domain.CODE]
    models.close()


def test_domains_with_other_references_do_not() -> None:
    models = built(embedding_mode="mock", code_embedding_model="owner/code@v2")
    assert models[Domain.TEXT] is not models[Domain.CODE]
    description = models.describe(Domain.CODE)
    assert (description.name, description.revision) == ("owner/code", "v2")
    models.close()


async def test_a_description_fills_in_when_the_model_is_loaded() -> None:
    model = model_of(lambda: loaded(ScriptedEngine(), ModelProfile(shortest=2)))
    models = models_of(model, model)
    before = models.describe(Domain.TEXT)
    assert (before.state, before.fingerprint, before.max_tokens, before.precision) == (ModelState.UNLOADED, "", 0, "")
    assert before.dimension == 4
    await models.preload()
    after, short = models.describe(Domain.TEXT), models.describe(Domain.TEXT, 2)
    assert (after.state, after.max_tokens, after.precision, after.weight_bytes) == (ModelState.READY, 8, "fp32", 100)
    assert (after.dimension, short.dimension) == (4, 2)
    assert after.fingerprint != short.fingerprint
    models.close()
