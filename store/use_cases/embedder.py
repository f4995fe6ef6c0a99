"""What the use cases need of the embedder."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from servicekit.errors import DeadlineExceededError, ResourceExhaustedError, UnavailableError
from store.events import EmbeddingSpace, Vector

#: Failures that pass by themselves: the text can be embedded later.
PASSING = (UnavailableError, DeadlineExceededError, ResourceExhaustedError)


class InputKind(StrEnum):
    """What a text is used for; models may treat the two differently."""

    DOCUMENT = "DOCUMENT"
    QUERY = "QUERY"


class ModelDomain(StrEnum):
    """Which of the embedder's models."""

    TEXT = "TEXT"
    CODE = "CODE"


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
