"""Which embedder to ask: the one whose model made the stored vectors."""

from collections.abc import Sequence

from servicekit.errors import TrimemError
from store.events import EmbeddingSpace
from store.repositories.spaces import RecordedSpace
from store.use_cases.embedder import PASSING, EmbeddedTexts, Embedder, InputKind


class RecordedModel:
    """One embedder, or two while the model of the stored vectors is changed: then the one that fits is asked.

    Which one that is was seen at the last look, so that it costs nothing. Whoever compares or writes vectors checks
    their space in the same transaction: a look that is out of date never mixes anything, and is taken again.
    """

    def __init__(self, embedders: Sequence[Embedder], dimension: int, spaces: RecordedSpace | None) -> None:
        """`dimension` holds as long as no space is recorded; without `spaces` it always does."""
        self._embedders = list(embedders)
        self._dimension = dimension
        self._spaces = spaces
        self._recorded: EmbeddingSpace | None = None

    @property
    def dimension(self) -> int:
        """Length of the stored vectors, as last seen."""
        return self._dimension

    @property
    def has_choice(self) -> bool:
        """Whether another embedder may do what one cannot."""
        return len(self._embedders) > 1

    async def look_again(self) -> None:
        """Read which model made the stored vectors."""
        if self._spaces is None:
            return
        self._recorded = await self._spaces.space()
        if self._recorded is not None:
            self._dimension = self._recorded.dimension

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """See Embedder. When no embedder runs the right model, the answer of the first one is returned all the same."""
        first, *others = self._embedders
        if not others:
            return await first.embed(texts, kind)
        answer = await _attempt(first, texts, kind)
        if self._fits(answer):
            return _value(answer)
        await self.look_again()
        if self._fits(answer) or self._recorded is None:
            return _value(answer)
        for other in others:
            second = await _attempt(other, texts, kind)
            if self._fits(second):
                self._embedders = [other, *(one for one in self._embedders if one is not other)]
                return _value(second)
            # The first one runs the wrong model: the other one may be the right one, and come back.
            if isinstance(second, TrimemError) and not isinstance(answer, TrimemError):
                answer = second
        return _value(answer)

    def _fits(self, answer: EmbeddedTexts | TrimemError) -> bool:
        if isinstance(answer, TrimemError) or self._recorded is None:
            return False
        return answer.space.fingerprint == self._recorded.fingerprint


async def _attempt(embedder: Embedder, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts | TrimemError:
    try:
        return await embedder.embed(texts, kind)
    except PASSING as error:
        return error


def _value(answer: EmbeddedTexts | TrimemError) -> EmbeddedTexts:
    if isinstance(answer, TrimemError):
        raise answer
    return answer
