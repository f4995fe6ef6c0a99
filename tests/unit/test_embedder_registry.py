"""Exchanging the model of a domain while it answers, and which models there are at the start."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from embedder.domain import Domain, ModelState
from embedder.embedding import EmbedCommand, Embedding
from embedder.models.errors import ModelUnusableError, SpaceChangeError, SwapInProgressError
from embedder.models.memory import MemoryBudgetError
from embedder.models.model import Loaded, Model
from embedder.models.registry import Models, Swapped
from embedder.models.runtime import QueueLimits
from servicekit.errors import InvalidArgumentError
from tests.fixtures_embedder import PATIENCE, Records, ScriptedEngine, loaded, model_of, models_of, runtime

TEXT, CODE = Domain.TEXT, Domain.CODE


class Shelf:
    """Models by name, that can be swapped in. Content decides about the space."""

    def __init__(self) -> None:
        self.engines: dict[str, ScriptedEngine] = {}
        self.contents: dict[str, str] = {}
        self.trouble: dict[str, Exception] = {}
        self.made: list[Model] = []
        self.asked: list[tuple[str, str]] = []
        self.loads: list[str] = []
        self.shared = runtime()

    def loader(self, name: str) -> Callable[[], Loaded]:
        def load() -> Loaded:
            self.loads.append(name)
            if error := self.trouble.get(name):
                raise error
            engine = self.engines.setdefault(name, ScriptedEngine())
            return loaded(engine, content=self.contents.get(name, "content"))

        return load

    def __call__(self, domain: Domain, *, name: str, engine: str, precision: str) -> Model:
        self.asked.append((engine, precision))
        self.made.append(model_of(self.loader(name), name, shared=self.shared))
        return self.made[-1]

    def models(self, text: str = "old", code: str = "code") -> Models:
        first = model_of(self.loader(text), text, shared=self.shared)
        second = first if code == text else model_of(self.loader(code), code, shared=self.shared)
        return Models({TEXT: first, CODE: second}, self)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def swap(models: Models, name: str = "new", *, allow: bool = False, dry_run: bool = False) -> Swapped:
    return await models.swap(TEXT, name=name, engine="", precision="", allow_space_change=allow, dry_run=dry_run)


async def test_a_swap_of_the_same_space_flips_to_the_new_model_and_frees_the_old(shelf: Shelf) -> None:
    models = shelf.models()
    await models.preload()
    old = models[TEXT]
    swapped = await swap(models)
    assert (swapped.previous.name, swapped.current.name, swapped.space_changed) == ("old", "new", False)
    assert models[TEXT] is shelf.made[0]
    assert (old.state, old.encoder) == (ModelState.UNLOADED, None)
    assert models.describe(TEXT).name == "new"
    assert models.describe(CODE).name == "code"
    models.close()


async def test_a_swap_to_another_space_must_be_allowed(shelf: Shelf) -> None:
    shelf.contents["new"] = "other weights"
    models = shelf.models()
    with pytest.raises(SpaceChangeError):
        await swap(models)
    assert models.describe(TEXT).name == "old"
    assert shelf.made[0].encoder is None  # it takes no memory any more
    swapped = await swap(models, allow=True)
    assert swapped.space_changed
    assert swapped.previous.fingerprint != swapped.current.fingerprint
    assert models.describe(TEXT).name == "new"
    models.close()


async def test_a_dry_run_changes_nothing_and_says_what_would_be(shelf: Shelf) -> None:
    shelf.contents["new"] = "other weights"
    models = shelf.models()
    swapped = await swap(models, dry_run=True)
    assert (swapped.current.name, swapped.space_changed) == ("new", True)
    assert models.describe(TEXT).name == "old"
    assert shelf.made[0].encoder is None
    models.close()


@pytest.mark.parametrize("trouble", [ModelUnusableError("broken"), MemoryBudgetError("too large"), OSError("disk")])
async def test_on_any_failure_the_old_model_keeps_answering(shelf: Shelf, trouble: Exception) -> None:
    shelf.trouble["new"] = trouble
    models = shelf.models()
    with pytest.raises((ModelUnusableError, MemoryBudgetError)):
        await swap(models)
    assert models[TEXT].state is ModelState.READY
    assert models[TEXT].healthy
    assert (await Embedding(models, Records()).embed(EmbedCommand(["a"]))).models[0].name == "old"
    shelf.trouble.clear()
    await swap(models)  # the failed one is not in the way
    models.close()


async def test_no_call_fails_or_gets_a_vector_of_one_model_under_the_name_of_another(shelf: Shelf) -> None:
    for name, value in (("old", 1.0), ("new", -1.0)):
        row = np.array([1.0, value, value, value], dtype=np.float32)
        shelf.engines[name] = ScriptedEngine(answer=lambda n, row=row: np.tile(row, (n, 1)))  # type: ignore[misc]
    shelf.contents["new"] = "other weights"
    models = shelf.models()
    embedding = Embedding(models, Records())
    seen: set[str] = set()
    over = asyncio.Event()

    async def call(number: int) -> None:
        while not over.is_set():
            result = await embedding.embed(EmbedCommand([f"a {number}"]))
            name = result.models[0].name
            assert (result.encoded[TEXT].vectors[0, 1] > 0) == (name == "old")
            seen.add(name)

    calls = [asyncio.create_task(call(number)) for number in range(8)]
    async with asyncio.timeout(PATIENCE):
        while "old" not in seen:
            await asyncio.sleep(0.001)
        await swap(models, allow=True)
        while "new" not in seen:
            await asyncio.sleep(0.001)
    over.set()
    await asyncio.gather(*calls)
    models.close()


async def test_a_model_that_two_domains_share_stays_for_the_other(shelf: Shelf) -> None:
    models = shelf.models("old", "old")
    await models.preload()
    shared = models[CODE]
    await swap(models)
    assert models[CODE] is shared
    assert shared.state is ModelState.READY
    assert models.describe(TEXT).name == "new"
    models.close()


async def test_a_model_that_cannot_be_loaded_can_be_replaced(shelf: Shelf) -> None:
    shelf.trouble["old"] = ModelUnusableError("broken")
    models = shelf.models()
    with pytest.raises(SpaceChangeError):  # nobody knows what it would have made
        await swap(models)
    assert (await swap(models, allow=True)).previous.fingerprint == ""
    assert models.describe(TEXT).state is ModelState.READY
    models.close()


async def test_one_swap_of_a_domain_at_a_time(shelf: Shelf) -> None:
    models = shelf.models()
    await models.preload()
    first = asyncio.create_task(swap(models))
    await asyncio.sleep(0)
    with pytest.raises(SwapInProgressError):
        await swap(models, "third")
    await first
    models.close()


async def test_the_same_model_may_be_exchanged_for_itself_in_another_precision(shelf: Shelf) -> None:
    models = shelf.models()
    await models.swap(TEXT, name="", engine="onnx", precision="int8", allow_space_change=False, dry_run=False)
    assert (shelf.made[0].name, shelf.asked) == ("old", [("onnx", "int8")])
    models.close()


async def test_a_model_without_memory_at_the_start_leaves_the_other_serving(shelf: Shelf) -> None:
    shelf.trouble["code"] = MemoryBudgetError("too large")
    models = shelf.models()
    await models.preload()
    assert [models[domain].healthy for domain in models] == [True, False]
    with pytest.raises(MemoryBudgetError):
        await Embedding(models, Records()).embed(EmbedCommand(["a"], CODE))
    assert (await Embedding(models, Records()).embed(EmbedCommand(["a"]))).models[0].name == "old"
    models.close()


async def test_nothing_fits_is_an_error_at_the_start(shelf: Shelf) -> None:
    shelf.trouble = {"old": MemoryBudgetError("too large"), "code": MemoryBudgetError("too large")}
    with pytest.raises(MemoryBudgetError):
        await shelf.models().preload()


async def test_idle_models_are_unloaded_and_busy_ones_are_not() -> None:
    text, code = ScriptedEngine(), ScriptedEngine()
    models = models_of(model_of(lambda: loaded(text)), model_of(lambda: loaded(code)))
    await models.preload()
    text.go.clear()
    running = asyncio.create_task(Embedding(models, Records()).embed(EmbedCommand(["a"])))
    assert await asyncio.to_thread(text.busy.wait, PATIENCE)
    await models.unload_idle(0)
    assert [models[domain].state for domain in models] == [ModelState.READY, ModelState.UNLOADED]
    text.go.set()
    await running
    models.close()


async def test_a_dimension_that_nobody_offers_is_refused_by_name() -> None:
    models = models_of(model_of(lambda: loaded(ScriptedEngine())), model_of(lambda: loaded(ScriptedEngine())))
    with pytest.raises(InvalidArgumentError, match="dimensions: the TEXT model offers only 4"):
        await Embedding(models, Records()).embed(EmbedCommand(["a"], dimensions=3))
    models.close()


async def test_what_waited_for_room_goes_to_the_new_model_and_the_old_one_stays_away(shelf: Shelf) -> None:
    """More inputs than the queue takes, when the model is exchanged: those that are not in it yet have to move."""
    shelf.contents["new"] = "other weights"
    shelf.shared = runtime(QueueLimits(max_items=2))
    models = shelf.models()
    await models.preload()
    old = models[TEXT]
    shelf.engines["old"].go.clear()
    embedding = Embedding(models, Records())
    asking = [
        asyncio.create_task(embedding.embed(EmbedCommand([f"text {number}"], TEXT), wait_for_room=True))
        for number in range(6)
    ]
    assert await asyncio.to_thread(shelf.engines["old"].busy.wait, PATIENCE)
    swapping = asyncio.create_task(swap(models, allow=True))
    async with asyncio.timeout(PATIENCE):
        while models[TEXT] is old:
            await asyncio.sleep(0)
    shelf.engines["old"].go.set()
    names = [(await each).models[0].name for each in asking]
    await swapping
    assert sorted(names) == ["new"] * 4 + ["old"] * 2
    assert shelf.loads == ["old", "code", "new"]
    assert old.encoder is None
    models.close()


async def test_a_model_without_a_name_is_the_same_one_with_its_revision(shelf: Shelf) -> None:
    models = shelf.models()
    await models.preload()
    models[TEXT].revision = "v1"
    await swap(models, "")
    assert shelf.made[0].name == "old@v1"
    models.close()


async def test_a_domain_that_gets_the_model_of_the_other_shares_it(shelf: Shelf) -> None:
    models = shelf.models()
    await models.preload()
    swapped = await swap(models, "code")
    assert swapped.current.name == "code"
    assert models[TEXT] is models[CODE]
    assert shelf.loads == ["old", "code"]
    shelf.contents["new"] = "other weights"
    with pytest.raises(SpaceChangeError):
        await swap(models)
    assert models[TEXT] is models[CODE]
    assert models[CODE].encoder is not None
    models.close()


async def test_the_space_of_an_unloaded_model_is_known_without_loading_it_again(shelf: Shelf) -> None:
    models = shelf.models()
    await models.preload()
    await models[TEXT].unload()
    assert not (await swap(models)).space_changed
    assert shelf.loads == ["old", "code", "new"]
    models.close()


async def test_models_that_failed_are_tried_again(shelf: Shelf) -> None:
    shelf.trouble["old"] = ModelUnusableError("not whole")
    models = shelf.models()
    with pytest.raises(ModelUnusableError):
        await models[TEXT].ready()
    del shelf.trouble["old"]
    models[TEXT]._retry_at = 0.0
    models.retry_failed()
    async with asyncio.timeout(PATIENCE):
        while not models[TEXT].healthy:
            await asyncio.sleep(0.001)
    assert shelf.loads == ["old", "old"]
    models.close()
