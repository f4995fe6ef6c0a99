"""Text in, vectors of one known space out: what the use cases need of the embedder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from servicekit.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    ResourceExhaustedError,
    TrimemError,
    UnavailableError,
)
from store.errors import EmbedderUnavailableError, EmbeddingDimensionError, TextsRefusedError
from store.events import EmbeddingSpace, Vector

#: Failures that pass by themselves: the text can be embedded later.
PASSING = (UnavailableError, DeadlineExceededError, ResourceExhaustedError)

#: Texts of one call, and their characters. A character has up to four bytes, and a call at most 16 MiB.
CALL_TEXTS = 64
CALL_CHARACTERS = 1024 * 1024


class InputKind(StrEnum):
    """What a text is used for; models may treat the two differently."""

    DOCUMENT = "DOCUMENT"
    QUERY = "QUERY"


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """Vectors in the order of the texts, and the space that they are of."""

    vectors: list[Vector]
    space: EmbeddingSpace


class Embedder(Protocol):
    """One call of the embedder."""

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """Embed all texts or none.

        Raises TextsRefusedError when some of them cannot be embedded, EmbedderUnavailableError, DeadlineExceededError
        or ResourceExhaustedError when a later call may do better.
        """
        ...


#: What became of one text: its vector, TextsRefusedError, or one of PASSING.
Outcome: TypeAlias = Vector | TrimemError


@dataclass(frozen=True, slots=True)
class Embedded:
    """What became of each text, and the space of the vectors; None when there are none."""

    outcomes: list[Outcome]
    space: EmbeddingSpace | None


class TextEmbedding:
    """Embeds any number of texts in calls of bounded size, and checks what comes back.

    All its methods raise EmbeddingDimensionError when the vectors are not as long as the database wants them.
    """

    def __init__(self, embedder: Embedder, dimension: int) -> None:
        self._embedder = embedder
        self._dimension = dimension

    async def query(self, text: str) -> tuple[Vector, EmbeddingSpace]:
        """The vector of a query. Raises InvalidArgumentError for `query`, and PASSING."""
        try:
            answer = await self._embedder.embed([text], InputKind.QUERY)
        except TextsRefusedError as error:
            raise InvalidArgumentError("query", f"cannot be embedded: {error.violations[0].description}") from error
        self._check(answer.space)
        return answer.vectors[0], answer.space

    async def documents(self, texts: Sequence[str]) -> Embedded:
        """What became of each text. One refused does not stop the others; an embedder that is down gets no more."""
        outcomes: list[Outcome] = []
        space: EmbeddingSpace | None = None
        down: TrimemError | None = None
        for batch in _batches(texts):
            if down is None:
                try:
                    done = await self._batch(batch)
                except PASSING as error:
                    down = error
                else:
                    space = _same(space, done.space)
                    outcomes += done.outcomes
                    continue
            outcomes += [down] * len(batch)
        return Embedded(outcomes, space)

    async def _batch(self, texts: Sequence[str]) -> Embedded:
        """Embed texts that fit into one call, leaving out those that are refused."""
        try:
            answer = await self._embedder.embed(texts, InputKind.DOCUMENT)
        except TextsRefusedError as error:
            return await self._without(texts, error)
        self._check(answer.space)
        return Embedded(list(answer.vectors), answer.space)

    async def _without(self, texts: Sequence[str], error: TextsRefusedError) -> Embedded:
        if len(texts) == 1:
            return Embedded([error], None)
        refused = {index for index in error.indexes if index < len(texts)}
        if not refused:  # not said which: halve until it shows
            middle = len(texts) // 2
            first, second = await self._batch(texts[:middle]), await self._batch(texts[middle:])
            return Embedded(first.outcomes + second.outcomes, _same(first.space, second.space))
        good = [text for index, text in enumerate(texts) if index not in refused]
        rest = await self._batch(good) if good else Embedded([], None)
        outcomes = iter(rest.outcomes)
        return Embedded([error if index in refused else next(outcomes) for index in range(len(texts))], rest.space)

    def _check(self, space: EmbeddingSpace) -> None:
        if space.dimension != self._dimension:
            raise EmbeddingDimensionError(self._dimension, space)


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = characters = 0
    for index, text in enumerate(texts):
        if index > start and (index - start == CALL_TEXTS or characters + len(text) > CALL_CHARACTERS):
            yield texts[start:index]
            start, characters = index, 0
        characters += len(text)
    if start < len(texts):
        yield texts[start:]


def _same(one: EmbeddingSpace | None, other: EmbeddingSpace | None) -> EmbeddingSpace | None:
    if one is not None and other is not None and one.fingerprint != other.fingerprint:
        raise EmbedderUnavailableError("the embedder changed its model during the call")
    return one or other
