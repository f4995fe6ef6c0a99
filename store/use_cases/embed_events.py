"""What events are found by, words and vectors, made on their way in."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from servicekit.errors import InvalidArgumentError, TrimemError
from servicekit.off_loop import off_loop
from store.errors import TextsRefusedError, VectorSpaceMismatchError
from store.events import EmbeddingSpace, EmbeddingState, FailStrategy, GivenVector, NewEvent, Words
from store.repositories.spaces import SpaceRepository
from store.use_cases.embedding import PASSING, Outcome, TextEmbedding
from store.use_cases.event_rules import accept_vector
from store.use_cases.event_text import text_to_embed
from store.use_cases.words import words_of

T = TypeVar("T")

#: Longest reason that is kept, in characters.
_LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class EmbeddedEvents:
    """The events with words, state and vector, or why one must not be stored; and the space of the vectors."""

    outcomes: list[NewEvent | TrimemError]
    space: EmbeddingSpace | None


class EmbedEvents:
    """Finds the words of events and their vectors: those that callers gave, and those of the embedder for the rest."""

    def __init__(
        self,
        embedding: TextEmbedding,
        spaces: SpaceRepository,
        strategy: FailStrategy = FailStrategy.SOFT,
        *,
        automatic: bool = True,
    ) -> None:
        """Without `automatic` the embedder gets no texts of events."""
        self._embedding = embedding
        self._spaces = spaces
        self._strategy = strategy
        self._automatic = automatic

    async def in_recorded_space(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """See TextEmbedding."""
        return await self._embedding.in_recorded_space(attempt)

    async def run(self, events: Sequence[NewEvent], given: Mapping[int, GivenVector]) -> EmbeddedEvents:
        """Embed events together. `given` are vectors that came with some of them, by place.

        Raises what the embedder is in the way of all of them with: with the strategy `hard` also that it is down.
        """
        texts = [text_to_embed(event.content) for event in events]
        (outcomes, space), words = await asyncio.gather(self._outcomes(texts, given), _words(texts))
        return EmbeddedEvents(
            [self._with(replace(event, words=words[place]), outcomes.get(place)) for place, event in enumerate(events)],
            space,
        )

    async def _outcomes(
        self, texts: Sequence[str | None], given: Mapping[int, GivenVector]
    ) -> tuple[dict[int, Outcome], EmbeddingSpace | None]:
        asked = {
            place: text
            for place, text in enumerate(texts)
            if text is not None and place not in given and self._automatic
        }
        embedded = await self._embedding.documents(list(asked.values()))
        outcomes: dict[int, Outcome] = dict(zip(asked, embedded.outcomes, strict=True))
        if not given:
            return outcomes, embedded.space
        space = await self._spaces.space() or embedded.space
        if space is None:
            # The first vectors of all: which model the store works with is for its embedder to say, not for a caller.
            probe = await self._embedding.documents(["a text"])
            space = probe.space
            if space is None:
                return outcomes | dict.fromkeys(given, probe.outcomes[0]), None
        for place, vector in given.items():
            outcomes[place] = _compared(vector, space)
        return outcomes, embedded.space or space

    def _with(self, event: NewEvent, outcome: Outcome | None) -> NewEvent | TrimemError:
        if outcome is None:
            return event
        if not isinstance(outcome, TrimemError):
            return replace(event, embedding_state=EmbeddingState.EMBEDDED, embedding=outcome)
        refused = isinstance(outcome, TextsRefusedError)
        if not refused and not isinstance(outcome, PASSING):
            return outcome
        if self._strategy is FailStrategy.SOFT:
            state = EmbeddingState.FAILED if refused else EmbeddingState.PENDING
            return replace(event, embedding_state=state, embedding_error=reason_of(outcome))
        if refused:
            return InvalidArgumentError("event.content", "has a text that the embedder refuses")
        raise outcome  # it would meet every event with a text


async def _words(texts: Sequence[str | None]) -> list[Words]:
    size = sum(len(text) for text in texts if text is not None)
    return await off_loop(size, lambda: [Words() if text is None else words_of(text) for text in texts])


def _compared(given: GivenVector, space: EmbeddingSpace) -> Outcome:
    """The vector, or why it cannot stand among those of the space."""
    if given.fingerprint != space.fingerprint:
        return VectorSpaceMismatchError(space, given.fingerprint)
    try:
        return accept_vector("vector", given.values, space.dimension)
    except InvalidArgumentError as error:
        return error


def reason_of(error: TrimemError) -> str:
    """Why an event is not embedded; PostgreSQL keeps no U+0000."""
    text = error.message
    if isinstance(error, TextsRefusedError):
        text = f"the embedder refuses the text: {error.violations[0].description}"
    return text.replace("\x00", "")[:_LONGEST_REASON]
