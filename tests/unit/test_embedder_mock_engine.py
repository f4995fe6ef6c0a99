"""The engine that stands in for a model."""

import hashlib

import numpy as np
import pytest

from embedder.models.engine import Vectors
from embedder.models.mock_engine import MockEngine


def vectors(*texts: str, reference: str = "a/b", dimension: int = 256) -> Vectors:
    engine = MockEngine(reference, dimension)
    raw = engine.forward(engine.tokenize(texts))
    unit: Vectors = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return unit


def test_vectors_are_the_same_in_every_process_and_release() -> None:
    engine = MockEngine("a/b", 8)
    raw = engine.forward(engine.tokenize(["hello world"]))
    assert (
        hashlib.sha256(raw.astype("<f4").tobytes()).hexdigest()
        == "0a22ded5d5130bf981390d90e369440749b762f678278343f2391e02b8f61a4e"
    )


def test_texts_that_share_words_are_more_alike_than_texts_that_do_not() -> None:
    query, near, far = vectors("how to close a file", "Close the FILE!", "bananas are yellow")
    assert query @ near > 0.3
    assert abs(query @ far) < 0.2


def test_each_reference_has_a_space_of_its_own() -> None:
    (first,), (second,) = vectors("hello world"), vectors("hello world", reference="c/d")
    assert abs(first @ second) < 0.3
    assert MockEngine("a/b", 8).content != MockEngine("c/d", 8).content


@pytest.mark.parametrize("text", ["\x00", "\u200b", "🙂", "...", "a" * 100_000])
def test_every_text_has_a_direction(text: str) -> None:
    assert np.isfinite(vectors(text)).all()


def test_long_texts_are_counted_and_cut() -> None:
    (item,) = MockEngine("a/b", 8).tokenize(["word " * 600])
    assert (item.count, len(item.ids), item.truncated) == (600, 512, True)
