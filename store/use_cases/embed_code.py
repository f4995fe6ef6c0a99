"""The two vectors of chunks of code."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from servicekit import tasks
from servicekit.errors import DeadlineExceededError, ResourceExhaustedError, TrimemError
from servicekit.jitter import jittered
from store.code.stored import CodeSpaces, Vectors
from store.errors import EmbedderFailedError, SpaceChangedError
from store.events import EmbeddingSpace
from store.use_cases.embed_events import reason_of
from store.use_cases.embedding import CALL_TEXTS, PASSING, Outcome, TextEmbedding

#: How many more texts the next call takes after a good one.
_GROWTH = 8

#: Times that an embedder with too much to do is asked again.
_PATIENCE = 5

#: The vectors of a chunk, or why it has none.
CodeOutcome: TypeAlias = Vectors | str


@dataclass(frozen=True, slots=True)
class CodeInputs:
    """What the two models read of a chunk."""

    text: str
    code: str


@dataclass(frozen=True, slots=True)
class EmbeddedCode:
    """What became of each chunk, and the spaces of the vectors; None when there are none."""

    outcomes: list[CodeOutcome]
    spaces: CodeSpaces | None


class EmbedCode:
    """Asks both models at once. Nothing of a chunk is kept when one of the two refuses it."""

    def __init__(self, text: TextEmbedding, code: TextEmbedding) -> None:
        self._text = text
        self._code = code

    async def run(self, chunks: Sequence[CodeInputs]) -> EmbeddedCode:
        """Embed chunks. Raises what the embedder is in the way of all of them with."""
        reading = asyncio.create_task(_Documents(self._text).run([one.text for one in chunks]))
        try:
            code_outcomes, code_space = await _Documents(self._code).run([one.code for one in chunks])
            text_outcomes, text_space = await reading
        finally:
            await tasks.cancel(reading)
        outcomes = [_both(*one) for one in zip(text_outcomes, code_outcomes, strict=True)]
        spaces = None if text_space is None or code_space is None else CodeSpaces(text_space, code_space)
        return EmbeddedCode(outcomes, spaces)


class _Documents:
    """Embeds texts for one model, in calls that get smaller when one fails or takes too long.

    A text that makes a call fail, alone, is to blame when the embedder embeds another one.
    """

    def __init__(self, embedding: TextEmbedding) -> None:
        self._embedding = embedding
        self._size = CALL_TEXTS
        self._refusals = 0

    async def run(self, texts: Sequence[str]) -> tuple[list[Outcome], EmbeddingSpace | None]:
        outcomes: list[Outcome] = []
        space: EmbeddingSpace | None = None
        while len(outcomes) < len(texts):
            part = texts[len(outcomes) : len(outcomes) + self._size]
            done = await self._embedding.documents(part)
            trouble = next((one for one in done.outcomes if isinstance(one, PASSING)), None)
            if trouble is not None and not await self._is_to_blame(part, trouble):
                continue
            outcomes += done.outcomes
            self._size = min(CALL_TEXTS, self._size + _GROWTH)
            self._refusals = 0
            if space is not None and done.space is not None and space.fingerprint != done.space.fingerprint:
                raise SpaceChangedError
            space = space or done.space
        return outcomes, space

    async def _is_to_blame(self, part: Sequence[str], trouble: TrimemError) -> bool:
        """Whether a text alone is; else the next call is another one. Raises `trouble` when none is worth while."""
        if isinstance(trouble, ResourceExhaustedError) and self._refusals < _PATIENCE:
            self._refusals += 1
            await asyncio.sleep(jittered((trouble.retry_after or 1) * self._refusals))
            return False
        if not isinstance(trouble, EmbedderFailedError | DeadlineExceededError):
            raise trouble
        if len(part) > 1:
            self._size = len(part) // 2
            return False
        if isinstance(trouble, EmbedderFailedError) and await self._embedding.embeds_others():
            return True
        raise trouble


def _both(text: Outcome, code: Outcome) -> CodeOutcome:
    for one in (text, code):
        if isinstance(one, TrimemError):
            return reason_of(one)
    assert not isinstance(text, TrimemError)  # noqa: S101 - said above, which a type checker does not follow
    assert not isinstance(code, TrimemError)  # noqa: S101 - as above
    return Vectors(text, code)
