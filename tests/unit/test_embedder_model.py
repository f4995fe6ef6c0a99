"""A model from its first use to its vectors."""

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from embedder.domain import Domain, InputKind, ModelState
from embedder.models.catalogue import ModelProfile
from embedder.models.errors import ModelUnreachableError, ModelUnusableError
from embedder.models.from_settings import build_models
from embedder.models.model import Loaded, Model
from servicekit.errors import InternalError, InvalidArgumentError
from tests.fixtures_embedder import PATIENCE, ScriptedEngine, loaded, model_of, models_of, settings

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
    with pytest.raises(ModelUnusableError, match="wrong dimension"):
        await model.ready()
    await model.ready()
    assert state_of(model) is ModelState.READY
    model.close()


async def test_a_fault_while_loading_is_reported_without_its_details() -> None:
    def load() -> Loaded:
        raise OSError("/secret/path")

    model = model_of(load, name="owner/name")
    with pytest.raises(ModelUnusableError, match="owner/name") as caught:
        await model.ready()
    assert "secret" not in caught.value.message
    assert state_of(model) is ModelState.FAILED
    model.close()


async def test_models_that_share_a_turn_load_one_after_the_other() -> None:
    turn = asyncio.Lock()
    first, second = Gate(), Gate()
    models = [Model("first", first, turn), Model("second", second, turn)]
    tasks = [asyncio.create_task(model.ready()) for model in models]
    await begun(first.begun)
    assert not second.begun.is_set()
    first.go.set()
    await begun(second.begun)
    second.go.set()
    await asyncio.gather(*tasks)
    for model in models:
        model.close()


async def test_inputs_get_the_prefix_of_their_kind() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine, ModelProfile({DOCUMENT: "doc: ", QUERY: "ask: "})))
    await model.encode(["a"], kind=DOCUMENT, dimensions=4)
    encoded = await model.encode(["b c"], kind=QUERY, dimensions=4)
    assert engine.texts == [["doc: a"], ["ask: b c"]]
    assert encoded.token_counts == [3]  # the prefix counts
    model.close()


async def test_vectors_come_back_normalised_with_counts_in_input_order() -> None:
    model = model_of(lambda: loaded(ScriptedEngine(max_tokens=2)))
    encoded = await model.encode(["a", "a b c"], kind=DOCUMENT, dimensions=4)
    expected = np.array([[1, 2, 3, 4], [5, 6, 7, 8]]) / np.sqrt([[30], [174]])
    np.testing.assert_allclose(encoded.vectors, expected, rtol=1e-6)
    assert (encoded.token_counts, encoded.truncated) == ([1, 3], [False, True])
    model.close()


async def test_a_long_input_is_refused_by_index_before_the_model_runs() -> None:
    engine = ScriptedEngine(max_tokens=2)
    model = model_of(lambda: loaded(engine))
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\]: has 3 tokens, the model reads 2"):
        await model.encode(["a", "a b c"], kind=DOCUMENT, dimensions=4, reject_truncation=True)
    assert not engine.busy.is_set()
    model.close()


async def test_a_vector_without_direction_is_our_fault_and_says_nothing_more() -> None:
    engine = ScriptedEngine(answer=lambda n: np.zeros((n, 4), dtype=np.float32))
    model = model_of(lambda: loaded(engine))
    with pytest.raises(InternalError) as caught:
        await model.encode(["a"], kind=DOCUMENT, dimensions=4)
    assert caught.value.message == "internal error"
    model.close()


async def test_work_of_a_caller_who_left_is_dropped_before_it_costs() -> None:
    engine = ScriptedEngine()
    engine.go.clear()
    model = model_of(lambda: loaded(engine))
    running = asyncio.create_task(model.encode(["first"], kind=DOCUMENT, dimensions=4))
    await begun(engine.busy)
    leaving = asyncio.create_task(model.encode(["second"], kind=DOCUMENT, dimensions=4))
    staying = asyncio.create_task(model.encode(["third"], kind=DOCUMENT, dimensions=4))
    await asyncio.sleep(0)  # both are in the queue of the thread
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    engine.go.set()
    await asyncio.gather(running, staying)
    assert engine.texts == [["first"], ["third"]]
    model.close()


def test_domains_with_equal_references_share_one_model() -> None:
    models = build_models(settings())
    assert models[Domain.TEXT] is models[Domain.CODE]
    models.close()


def test_domains_with_other_references_do_not() -> None:
    models = build_models(settings(embedding_mode="mock", code_embedding_model="owner/code@v2"))
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
