"""Text in, vectors of one known space out."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar
from uuid import uuid4

from servicekit.errors import InvalidArgumentError, TrimemError
from store.errors import EmbeddingDimensionError, EmbeddingSpaceMismatchError, SpaceChangedError, TextsRefusedError
from store.events import EmbeddingSpace, Vector
from store.repositories.spaces import RecordedSpace
from store.use_cases.embedder import PASSING, Embedder, InputKind
from store.use_cases.recorded_model import RecordedModel

__all__ = ["CALL_CHARACTERS", "CALL_TEXTS", "PASSING", "Embedded", "Outcome", "TextEmbedding"]

T = TypeVar("T")

#: Texts of one call, and their characters. A character has up to four bytes, and a call at most 16 MiB.
CALL_TEXTS = 64
CALL_CHARACTERS = 1024 * 1024

#: Attempts at a call that a change of the model got in the way of: one for the change, one for taking it back at once.
_ATTEMPTS = 3

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

    def __init__(
        self,
        embedder: Embedder,
        dimension: int,
        *,
        next_embedder: Embedder | None = None,
        spaces: RecordedSpace | None = None,
        wrong_dimension: type[EmbeddingDimensionError] = EmbeddingDimensionError,
    ) -> None:
        """`dimension` is that of the database; with `spaces` it is read again when that changes.

        `next_embedder` is asked when the stored vectors turn out to be of its model; it needs `spaces`.
        `wrong_dimension` says what to do about an embedder whose vectors have another length.
        """
        embedders = [embedder] if next_embedder is None else [embedder, next_embedder]
        self._model = RecordedModel(embedders, dimension, spaces)
        self._wrong_dimension = wrong_dimension

    async def stored_dimension(self, expected: int) -> int:
        """Length of the stored vectors; looks again when it is not as `expected`."""
        if self._model.dimension != expected:
            await self._model.look_again()
        return self._model.dimension

    async def in_recorded_space(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns, which embeds and then writes or compares the vectors in a transaction.

        It is made again when the model of the stored vectors was exchanged in between.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return await attempt()
            except SpaceChangedError:
                await self._model.look_again()
            except (EmbeddingSpaceMismatchError, EmbeddingDimensionError):
                if not self._model.has_choice:
                    raise
                await self._model.look_again()
        return await attempt()

    async def query(self, text: str) -> tuple[Vector, EmbeddingSpace]:
        """The vector of a query. Raises InvalidArgumentError for `query`, and PASSING."""
        try:
            answer = await self._model.embed([text], InputKind.QUERY)
        except TextsRefusedError as error:
            raise InvalidArgumentError("query", f"cannot be embedded: {error.violations[0].description}") from error
        await self._check(answer.space)
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
                except SpaceChangedError:
                    raise
                except PASSING as error:
                    down = error
                else:
                    space = _same(space, done.space)
                    outcomes += done.outcomes
                    continue
            outcomes += [down] * len(batch)
        return Embedded(outcomes, space)

    async def embeds_others(self) -> bool:
        """Whether the embedder embeds a text of which we know no harm, and that it cannot have in its cache."""
        [outcome] = (await self.documents([f"Are you there? {uuid4()}"])).outcomes
        return not isinstance(outcome, TrimemError)

    async def _batch(self, texts: Sequence[str]) -> Embedded:
        """Embed texts that fit into one call, leaving out those that are refused."""
        try:
            answer = await self._model.embed(texts, InputKind.DOCUMENT)
        except TextsRefusedError as error:
            return await self._without(texts, error)
        await self._check(answer.space)
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

    async def _check(self, space: EmbeddingSpace) -> None:
        dimension = await self.stored_dimension(space.dimension)
        if dimension != space.dimension:
            raise self._wrong_dimension(dimension, space)


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
        raise SpaceChangedError
    return one or other
