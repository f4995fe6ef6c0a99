"""Embedding any number of texts through an embedder that takes a few at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import TrimemError
from store.errors import EmbedderUnavailableError, EmbeddingDimensionError, SpaceChangedError, TextsRefusedError
from store.events import EmbeddingSpace
from store.use_cases.embedder import EmbeddedTexts, InputKind
from store.use_cases.embedding import CALL_CHARACTERS, CALL_TEXTS, TextEmbedding

SPACE = EmbeddingSpace("model", "", 1, "f")


@dataclass
class Scripted:
    """An embedder whose vectors are the lengths of the texts."""

    refused: frozenset[str] = frozenset()
    names: bool = True
    down_after: int = 1_000_000
    space: EmbeddingSpace = SPACE
    other_space_after: int = 1_000_000
    calls: list[Sequence[str]] = field(default_factory=list)

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """See Embedder."""
        self.calls.append(texts)
        if len(self.calls) > self.down_after:
            raise EmbedderUnavailableError("down")
        wrong = frozenset(index for index, text in enumerate(texts) if text in self.refused)
        if wrong:
            raise TextsRefusedError(wrong if self.names else frozenset(), "odd")
        space = self.space if len(self.calls) <= self.other_space_after else replace(self.space, fingerprint="g")
        return EmbeddedTexts([np.array([len(text)], dtype=np.float32) for text in texts], space)


@given(st.lists(st.text("ab", min_size=1, max_size=4), max_size=200), st.sets(st.text("ab", max_size=2)), st.booleans())
async def test_every_text_gets_its_own_vector_or_refusal(texts: list[str], refused: set[str], names: bool) -> None:
    embedder = Scripted(refused=frozenset(refused), names=names)

    embedded = await TextEmbedding(embedder, 1).documents(texts)

    assert len(embedded.outcomes) == len(texts)
    for text, outcome in zip(texts, embedded.outcomes, strict=True):
        if text in refused:
            assert isinstance(outcome, TextsRefusedError)
        else:
            assert not isinstance(outcome, TrimemError)
            assert outcome.tolist() == [len(text)]
    assert embedded.space == (SPACE if set(texts) - refused else None)


async def test_calls_are_bounded_in_texts_and_characters() -> None:
    embedder = Scripted()

    await TextEmbedding(embedder, 1).documents(["x"] * (CALL_TEXTS + 1))
    await TextEmbedding(embedder, 1).documents(["y" * (CALL_CHARACTERS // 2 + 1)] * 3)
    await TextEmbedding(embedder, 1).documents(["z" * (CALL_CHARACTERS + 1)])

    assert [len(call) for call in embedder.calls] == [CALL_TEXTS, 1, 1, 1, 1, 1]


async def test_what_was_embedded_before_the_embedder_went_down_is_kept() -> None:
    embedder = Scripted(down_after=1)

    embedded = await TextEmbedding(embedder, 1).documents(["x"] * (3 * CALL_TEXTS))

    assert len(embedder.calls) == 2
    kinds = [isinstance(outcome, EmbedderUnavailableError) for outcome in embedded.outcomes]
    assert kinds == [False] * CALL_TEXTS + [True] * (2 * CALL_TEXTS)
    assert embedded.space == SPACE


async def test_an_embedder_that_changes_its_model_on_the_way_is_not_trusted() -> None:
    with pytest.raises(SpaceChangedError):
        await TextEmbedding(Scripted(other_space_after=1), 1).documents(["x"] * (CALL_TEXTS + 1))


async def test_vectors_of_another_length_are_refused() -> None:
    embedding = TextEmbedding(Scripted(), 2)

    with pytest.raises(EmbeddingDimensionError, match="2 dimensions"):
        await embedding.documents(["x"])
    with pytest.raises(EmbeddingDimensionError):
        await embedding.query("x")
