"""What is kept, what goes first, and what is told apart."""

import numpy as np
import pytest

from embedder.cache import CachedEmbedding, EmbeddingCache, cache_key
from embedder.domain import InputKind

DOCUMENT, QUERY = InputKind.DOCUMENT, InputKind.QUERY


def embedding(value: float = 1.0, size: int = 4) -> CachedEmbedding:
    return CachedEmbedding(np.full(size, value, dtype="<f4").tobytes(), 3, False)


def key(name: str) -> bytes:
    return cache_key("f" * 64, DOCUMENT, 4, name)


def test_an_embedding_comes_back_as_it_went_in() -> None:
    cache = EmbeddingCache(max_entries=2, max_bytes=10_000)
    cache.put(key("a"), embedding(0.1))
    found = cache.get(key("a"))
    assert found is not None
    assert found.row.dtype == np.float32
    assert found.row.tolist() == np.full(4, 0.1, dtype=np.float32).tolist()


def test_the_least_recently_used_goes_first() -> None:
    cache = EmbeddingCache(max_entries=2, max_bytes=10_000)
    cache.put(key("a"), embedding())
    cache.put(key("b"), embedding())
    assert cache.get(key("a")) is not None
    cache.put(key("c"), embedding())
    assert cache.get(key("b")) is None
    assert cache.get(key("a")) is not None
    assert len(cache) == 2


def test_bytes_are_bounded_and_counted() -> None:
    cache = EmbeddingCache(max_entries=1000, max_bytes=2_000)
    for number in range(100):
        cache.put(key(str(number)), embedding(size=16))
        assert cache.bytes <= 2_000
    assert 1 < len(cache) < 100
    cache.put(key("99"), embedding(size=16))  # again
    before = cache.bytes
    cache.put(key("99"), embedding(size=16))
    assert cache.bytes == before
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


def test_what_is_larger_than_the_cache_does_not_empty_it() -> None:
    cache = EmbeddingCache(max_entries=10, max_bytes=1_000)
    cache.put(key("a"), embedding())
    cache.put(key("huge"), embedding(size=1_000))
    assert cache.get(key("a")) is not None
    assert cache.get(key("huge")) is None


@pytest.mark.parametrize("limits", [{"max_entries": 0, "max_bytes": 1000}, {"max_entries": 10, "max_bytes": 0}])
def test_nothing_is_kept_when_it_is_turned_off(limits: dict[str, int]) -> None:
    cache = EmbeddingCache(**limits)
    cache.put(key("a"), embedding())
    assert cache.get(key("a")) is None


def test_a_key_tells_everything_apart_that_changes_the_vector() -> None:
    keys = {
        cache_key("f", DOCUMENT, 4, "text"),
        cache_key("g", DOCUMENT, 4, "text"),
        cache_key("f", QUERY, 4, "text"),
        cache_key("f", DOCUMENT, 2, "text"),
        cache_key("f", DOCUMENT, 4, "text "),
        cache_key("f", DOCUMENT, 4, "te\0xt"),
    }
    assert len(keys) == 6
    assert cache_key("f", DOCUMENT, 4, "text") in keys
