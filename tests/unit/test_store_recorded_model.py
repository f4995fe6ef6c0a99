"""Which of two embedders is asked while the model of the stored vectors changes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from store.errors import (
    EmbedderUnavailableError,
    EmbeddingDimensionError,
    EmbeddingSpaceMismatchError,
    SpaceChangedError,
)
from store.events import EmbeddingSpace
from store.repositories.memory import MemoryData, MemorySpaces
from store.use_cases.embedder import EmbeddedTexts, InputKind
from store.use_cases.embedding import TextEmbedding

OLD = EmbeddingSpace("old", "", 2, "o")
NEW = EmbeddingSpace("new", "", 3, "n")
THIRD = replace(NEW, model_name="third", fingerprint="t")


@dataclass
class Model:
    """An embedder that counts its calls."""

    space: EmbeddingSpace
    down: bool = False
    calls: int = 0

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """See Embedder."""
        self.calls += 1
        if self.down:
            raise EmbedderUnavailableError(f"{self.space.model_name} is down")
        return EmbeddedTexts([np.ones(self.space.dimension, dtype=np.float32) for _ in texts], self.space)


@dataclass
class Two:
    """Two embedders, and what is recorded."""

    data: MemoryData = field(default_factory=lambda: MemoryData(recorded=OLD))
    old: Model = field(default_factory=lambda: Model(OLD))
    new: Model = field(default_factory=lambda: Model(NEW))

    def __post_init__(self) -> None:
        self.embedding = TextEmbedding(self.old, 2, next_embedder=self.new, spaces=MemorySpaces(self.data))

    async def query(self) -> EmbeddingSpace:
        """The space of a query's vector."""
        return (await self.embedding.query("x"))[1]

    async def searched(self) -> EmbeddingSpace:
        """The space that a search would compare in; checked as its transaction does."""

        async def attempt() -> EmbeddingSpace:
            space = await self.query()
            recorded = self.data.recorded
            assert recorded is not None
            if space.fingerprint != recorded.fingerprint:
                raise EmbeddingSpaceMismatchError(recorded, space)
            return space

        return await self.embedding.in_recorded_space(attempt)


async def test_the_one_that_fits_is_asked_and_the_other_one_not() -> None:
    two = Two()

    assert [await two.query() for _ in range(3)] == [OLD] * 3

    assert (two.old.calls, two.new.calls) == (3, 0)


async def test_after_the_change_the_other_one_is_asked_and_the_first_one_no_more() -> None:
    two = Two()
    await two.query()
    two.data.recorded = NEW

    assert await two.searched() == NEW
    asked = two.old.calls
    assert await two.searched() == NEW

    assert two.old.calls == asked
    assert await two.embedding.stored_dimension(2) == 3


async def test_going_back_is_noticed_too() -> None:
    two = Two()
    for space in (OLD, NEW, OLD, NEW):
        two.data.recorded = space
        assert await two.searched() == space


async def test_an_old_embedder_that_was_stopped_after_the_change_is_not_missed() -> None:
    two = Two()
    await two.query()
    two.data.recorded = NEW
    two.old.down = True

    assert await two.searched() == NEW


async def test_a_new_embedder_that_was_stopped_before_the_change_is_not_missed() -> None:
    two = Two()
    two.new.down = True

    assert await two.searched() == OLD
    assert two.new.calls == 0


async def test_the_right_embedder_that_is_down_is_waited_for() -> None:
    two = Two()
    two.old.down = True
    with pytest.raises(EmbedderUnavailableError, match="old is down"):
        await two.query()

    two = Two(new=Model(NEW, down=True), data=MemoryData(recorded=NEW))
    with pytest.raises(EmbedderUnavailableError, match="new is down"):
        await two.query()


async def test_without_the_right_model_the_mistake_is_named() -> None:
    two = Two(data=MemoryData(recorded=THIRD), old=Model(replace(OLD, dimension=3)))

    with pytest.raises(EmbeddingSpaceMismatchError, match=r"made by third.*the embedder runs old.*store reembed"):
        await two.searched()


async def test_the_first_one_makes_the_first_vectors() -> None:
    two = Two(data=MemoryData())

    assert await two.query() == OLD
    assert two.new.calls == 0


async def test_a_lone_embedder_of_the_wrong_model_is_not_asked_again() -> None:
    model = Model(OLD)
    embedding = TextEmbedding(model, 2, spaces=MemorySpaces(MemoryData(recorded=replace(OLD, fingerprint="x"))))

    async def attempt() -> None:
        _, space = await embedding.query("x")
        raise EmbeddingSpaceMismatchError(NEW, space)

    with pytest.raises(EmbeddingSpaceMismatchError):
        await embedding.in_recorded_space(attempt)
    assert model.calls == 1


async def test_a_statement_that_meets_the_exchange_is_repeated_but_not_for_ever() -> None:
    embedding = TextEmbedding(Model(OLD), 2, spaces=MemorySpaces(MemoryData(recorded=OLD)))
    attempts = 0

    async def attempt() -> int:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise SpaceChangedError
        return attempts

    assert await embedding.in_recorded_space(attempt) == 3
    attempts = -10
    with pytest.raises(SpaceChangedError):
        await embedding.in_recorded_space(attempt)


async def test_the_recorded_dimension_counts_and_not_the_one_that_was_set() -> None:
    spaces = MemorySpaces(MemoryData(recorded=NEW))

    assert (await TextEmbedding(Model(NEW), 2, spaces=spaces).query("x"))[1] == NEW
    with pytest.raises(EmbeddingDimensionError, match="3 dimensions, the embedder runs old"):
        await TextEmbedding(Model(OLD), 3, spaces=spaces).query("x")
