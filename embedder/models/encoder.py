"""From texts to finished vectors: an engine, its thread, and the form that vectors leave in."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog

from embedder.domain import InputKind
from embedder.models.engine import Engine, Tokenized, Vectors
from embedder.models.space import UnusableVectorError, VectorSpace
from servicekit.errors import InternalError, InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of some inputs, in input order."""

    #: Shape [n, dimensions], rows of L2 norm 1.
    vectors: Vectors
    #: Tokens of each input, prefix and special tokens included, before truncation.
    token_counts: Sequence[int]
    #: Whether the model read only the beginning of each input.
    truncated: Sequence[bool]


class Encoder:
    """Runs an engine in its one thread, a call after the other in order of arrival.

    This is where batching over several calls will go: whoever calls `encode` sees no difference.
    """

    def __init__(self, engine: Engine, space: VectorSpace, thread: Executor) -> None:
        """`thread` is an executor with a single worker that runs nothing but this engine."""
        self.engine = engine
        self.space = space
        self._thread = thread
        self._log = structlog.get_logger("models")

    async def encode(
        self, texts: Sequence[str], *, kind: InputKind, dimensions: int, reject_truncation: bool = False
    ) -> Encoded:
        """Vectors of length `dimensions`, one for each text. A caller that is cancelled while waiting costs nothing.

        Raises InvalidArgumentError naming `inputs[i]` when `reject_truncation` is set and a text is too long.
        """
        prefix = self.space.profile.prefixes[kind]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, self._encode, [prefix + text for text in texts], dimensions, reject_truncation
        )

    def _encode(self, texts: Sequence[str], dimensions: int, reject_truncation: bool) -> Encoded:
        inputs = self.engine.tokenize(texts)
        if reject_truncation:
            self._require_short(inputs)
        try:
            vectors = self.space.finish(self.engine.forward(inputs), dimensions)
        except UnusableVectorError as error:
            self._log.error("unusable vector", engine=self.engine.info.name, inputs=len(texts))
            raise InternalError from error
        return Encoded(vectors, [item.count for item in inputs], [item.truncated for item in inputs])

    def _require_short(self, inputs: Sequence[Tokenized]) -> None:
        for index, item in enumerate(inputs):
            if item.truncated:
                raise InvalidArgumentError(
                    f"inputs[{index}]", f"has {item.count} tokens, the model reads {self.engine.info.max_tokens}"
                )
