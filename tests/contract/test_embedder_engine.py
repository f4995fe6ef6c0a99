"""What every engine promises, asked of the mock and of torch with the packaged model."""

import numpy as np
import pytest

from embedder.models.catalogue import ModelProfile
from embedder.models.engine import Engine
from embedder.models.mock_engine import MockEngine
from embedder.models.space import VectorSpace
from tests.fixtures_embedder import MINILM, PACKAGE

ODD = ["\x00", "\u200b", "🙂", "שלום", "a" * 50_000, "\ufeffx", "def f(x):\n\treturn x", "...", "a\r\n b"]


@pytest.fixture(scope="module", params=["mock", "torch"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "mock":
        return MockEngine(PACKAGE, 384)
    from embedder.models.torch_engine import TorchEngine

    return TorchEngine(MINILM, name=PACKAGE, device="cpu")


def vectors(engine: Engine, texts: list[str]) -> np.ndarray:
    raw = engine.forward(engine.tokenize(texts))
    return VectorSpace("", engine.info.dimension, ModelProfile()).finish(raw, engine.info.dimension)


def test_vectors_have_the_dimension_that_the_engine_names(engine: Engine) -> None:
    raw = engine.forward(engine.tokenize(["one", "two", "three"]))
    assert raw.shape == (3, engine.info.dimension)
    assert raw.dtype == np.float32


def test_the_same_text_gives_the_same_vector_again(engine: Engine) -> None:
    np.testing.assert_array_equal(vectors(engine, ["hello world"]), vectors(engine, ["hello world"]))


def test_a_vector_does_not_depend_on_the_company_or_order_of_its_text(engine: Engine) -> None:
    texts = ["short", "a text of some more words " * 30, "hello world", "x"] * 3
    together = vectors(engine, texts)
    for index in (0, 1, 2, 3, 10):  # half precision rounds differently in another batch
        assert together[index] @ vectors(engine, [texts[index]])[0] > 0.9995


def test_long_texts_are_cut_and_counted_in_full(engine: Engine) -> None:
    limit = engine.info.max_tokens
    short, long = engine.tokenize(["word " * 10, "word " * 2_000])
    assert not short.truncated
    assert short.count == len(short.ids)
    assert long.truncated
    assert len(long.ids) == limit
    assert long.count - short.count == 1_990


def test_what_lies_beyond_the_limit_has_no_effect(engine: Engine) -> None:
    head = "word " * engine.info.max_tokens
    np.testing.assert_array_equal(vectors(engine, [head + "cats"]), vectors(engine, [head + "dogs"]))


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_texts_get_a_vector_too(engine: Engine, text: str) -> None:
    assert np.isfinite(vectors(engine, [text])).all()


def test_texts_with_more_in_common_are_more_alike(engine: Engine) -> None:
    query, near, far = vectors(engine, ["close the file", "how a file is closed: close the file", "bananas are yellow"])
    assert query @ near > query @ far + 0.2
