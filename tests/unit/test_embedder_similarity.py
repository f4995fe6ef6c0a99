"""How alike two texts or vectors are."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from embedder.domain import Domain
from embedder.embedding import Embedding
from embedder.models.registry import Models
from embedder.similarity import Side, Similarity
from servicekit.errors import InvalidArgumentError
from tests.fixtures_embedder import Records, mock_models


@pytest_asyncio.fixture
async def models() -> AsyncIterator[Models]:
    made = mock_models(dimension=64)
    yield made
    made.close()


@pytest.fixture
def similarity(models: Models) -> Similarity:
    return Similarity(Embedding(models, Records()))


def vector(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("first", "second", "cosine"),
    [
        (vector(1, 0), vector(5, 0), 1.0),
        (vector(1, 0), vector(0, 2), 0.0),
        (vector(1, 1), vector(-3, -3), -1.0),
        (vector(1, 0), vector(1, 1), 0.5**0.5),
        (vector(3e38, 3e38), vector(1e-45, 1e-45), 1.0),
    ],
)
async def test_vectors_are_compared_by_angle_without_loading_a_model(
    similarity: Similarity, models: Models, first: Side, second: Side, cosine: float
) -> None:
    result = await similarity.compare(first, second)
    assert result.cosine == pytest.approx(cosine)
    assert -1 <= result.cosine <= 1
    assert result.score == pytest.approx((cosine + 1) / 2)
    assert models[Domain.TEXT].encoder is None


async def test_texts_are_embedded_by_the_model_of_the_domain(similarity: Similarity, models: Models) -> None:
    same = await similarity.compare("hello world", "hello world", Domain.CODE)
    other = await similarity.compare("hello world", "bananas", Domain.CODE)
    assert same.cosine == pytest.approx(1)
    assert other.cosine < 0.5
    assert models[Domain.TEXT].encoder is None


async def test_a_text_may_be_compared_with_a_vector_of_its_model(similarity: Similarity) -> None:
    result = await similarity.compare("hello", np.ones(64, dtype=np.float32))
    assert -1 <= result.cosine <= 1
    with pytest.raises(InvalidArgumentError, match="second: has length 3, and `first` has length 64"):
        await similarity.compare("hello", vector(1, 2, 3))


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        (None, "a", "first"),
        ("a", None, "second"),
        (" ", "a", "first.text"),
        ("a", "", "second.text"),
        (vector(), vector(1), "first.vector.values"),
        (vector(1), vector(0), "second.vector.values"),
        (vector(float("nan")), vector(1), "first.vector.values"),
        (vector(1), vector(float("-inf")), "second.vector.values"),
        (vector(1, 2), vector(1), "second"),
    ],
)
async def test_what_cannot_be_compared_is_named(similarity: Similarity, first: Side, second: Side, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await similarity.compare(first, second)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize("sides", [("a", "b"), (vector(1), vector(1))], ids=["texts", "vectors"])
async def test_hybrid_is_refused(similarity: Similarity, sides: tuple[Side, Side]) -> None:
    with pytest.raises(InvalidArgumentError, match="domain"):
        await similarity.compare(*sides, Domain.HYBRID)
