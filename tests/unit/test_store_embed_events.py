"""What events are found by, before they are stored."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from servicekit.errors import InvalidArgumentError, TrimemError, UnavailableError
from store.errors import TextsRefusedError
from store.events import EmbeddingState, FailStrategy, Json, NewEvent, Words
from store.repositories.memory import MemorySpaces
from store.use_cases.embed_events import EmbedEvents
from store.use_cases.embedder import EmbeddedTexts, InputKind
from store.use_cases.embedding import TextEmbedding
from store.use_cases.event_text import LONGEST_TEXT
from store.use_cases.words import words_of
from tests.fixtures_store import DIMENSION, SPACE, text_vector


class Embedder:
    """Does as it is told."""

    def __init__(self, trouble: TrimemError | None = None) -> None:
        self._trouble = trouble

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """See Embedder."""
        if self._trouble is not None:
            raise self._trouble
        return EmbeddedTexts([text_vector(text) for text in texts], SPACE)


async def embedded(
    content: Json, trouble: TrimemError | None = None, strategy: FailStrategy = FailStrategy.SOFT
) -> NewEvent | TrimemError:
    """What becomes of one event."""
    embed = EmbedEvents(TextEmbedding(Embedder(trouble), DIMENSION), MemorySpaces(), strategy)
    [outcome] = (await embed.run([NewEvent(uuid4(), datetime.now(UTC), content, {})], {})).outcomes
    return outcome


async def test_words_are_those_of_the_text_that_is_embedded() -> None:
    event = await embedded({"title": "red", "lines": ["green apple", {"n": 3}]})

    assert isinstance(event, NewEvent)
    assert event.words == words_of("green apple\nred")
    assert event.embedding_state is EmbeddingState.EMBEDDED


async def test_words_behind_the_end_of_what_is_embedded_do_not_count() -> None:
    event = await embedded({"text": "a " * (LONGEST_TEXT // 2) + "needle"})

    assert isinstance(event, NewEvent)
    assert event.words.total == LONGEST_TEXT // 2
    assert not set(words_of("needle").terms) & set(event.words.terms)


async def test_an_event_without_text_has_no_words() -> None:
    event = await embedded({"n": 1})

    assert isinstance(event, NewEvent)
    assert (event.words, event.embedding_state) == (Words(), EmbeddingState.SKIPPED)


@pytest.mark.parametrize(
    ("trouble", "state", "reason"),
    [
        (UnavailableError("gone\x00 fishing"), EmbeddingState.PENDING, "gone fishing"),
        (UnavailableError("x" * 100_000), EmbeddingState.PENDING, "x" * 1000),
        (TextsRefusedError(frozenset({0}), "is odd"), EmbeddingState.FAILED, "the embedder refuses the text: is odd"),
    ],
)
async def test_the_reason_is_kept_and_words_are_found_without_an_embedding(
    trouble: TrimemError, state: EmbeddingState, reason: str
) -> None:
    event = await embedded({"text": "red apple"}, trouble)

    assert isinstance(event, NewEvent)
    assert (event.embedding_state, event.embedding_error, event.embedding) == (state, reason, None)
    assert event.words == words_of("red apple")


async def test_hard_blames_the_text_or_the_embedder() -> None:
    refused = await embedded({"text": "x"}, TextsRefusedError(frozenset({0}), "is odd"), FailStrategy.HARD)

    assert isinstance(refused, InvalidArgumentError)
    assert refused.violations[0].field == "event.content"
    with pytest.raises(UnavailableError):
        await embedded({"text": "x"}, UnavailableError("down"), FailStrategy.HARD)
