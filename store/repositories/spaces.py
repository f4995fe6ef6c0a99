"""What the use cases ask about the model that made the vectors."""

from dataclasses import dataclass
from typing import Protocol

from store.events import EmbeddingSpace, Json, Vector


@dataclass(frozen=True, slots=True)
class VectorSample:
    """The content and the stored vector of an event."""

    content: Json
    embedding: Vector


class RecordedSpace(Protocol):
    """Knows which model made the vectors of a column. Raises as EventRepository does."""

    async def space(self) -> EmbeddingSpace | None:
        """The space of the stored vectors, None when none is recorded."""
        ...


class SpaceRepository(RecordedSpace, Protocol):
    """The same of events, whose vectors may be older than the record."""

    async def sample(self, limit: int) -> list[VectorSample]:
        """Some embedded events; at most `limit`."""
        ...

    async def adopt_space(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """Record the space of vectors that are there already. Returns the one that is recorded, ours or another."""
        ...
