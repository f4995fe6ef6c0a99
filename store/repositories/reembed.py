"""What the change to another model asks of the place where events are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from store.events import EmbeddingSpace, Json, ReembedPhase, Vector


class OtherColumn(StrEnum):
    """The column of vectors beside the one that is in use."""

    #: Of the model that is to come.
    NEXT = "embedding_next"
    #: Of the model that was before.
    OLD = "embedding_old"

    @classmethod
    def of(cls, phase: ReembedPhase) -> "OtherColumn":
        """The one that there is in this phase."""
        return cls.OLD if phase is ReembedPhase.SWAPPED else cls.NEXT


@dataclass(frozen=True, slots=True)
class RowKey:
    """A place in the order of events. The timestamp as text: the monolith's may be ones that no datetime can hold."""

    timestamp: str
    id: UUID


@dataclass(frozen=True, slots=True)
class ReembedJob:
    """A change of model under way, or done and not yet tidied up."""

    phase: ReembedPhase
    #: Of the vectors in use.
    space: EmbeddingSpace
    #: Of the vectors in the other column.
    other_space: EmbeddingSpace
    #: Where the first pass over all events is.
    position: RowKey | None = None
    #: recall@10 of the new index, when that was measured.
    recall: float | None = None

    @property
    def other_column(self) -> OtherColumn:
        """The column of `other_space`."""
        return OtherColumn.of(self.phase)


@dataclass(frozen=True, slots=True)
class UnfilledEvent:
    """An embedded event without a vector in the other column."""

    key: RowKey
    #: Changes with the row.
    version: str
    content: Json


@dataclass(frozen=True, slots=True)
class FilledEvent:
    """What the other model made of an event: a vector, or why there is none."""

    event: UnfilledEvent
    vector: Vector | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ReembedCounts:
    """Embedded events, and how far they are in the other column; exact."""

    embedded: int
    filled: int
    refused: int

    @property
    def missing(self) -> int:
        """Those that are still to be done."""
        return self.embedded - self.filled - self.refused


class ReembedRepository(Protocol):
    """Keeps the vectors of a second model beside those in use. Raises as EventRepository does.

    One process at a time has it. Its methods may be called again after any of them was cut off at any moment.
    """

    async def job(self) -> ReembedJob | None:
        """The change of model that is under way."""
        ...

    async def begin(self, space: EmbeddingSpace) -> None:
        """Add the second column, for vectors of `space`. From now on a change of an event's content empties it."""
        ...

    async def set_phase(self, phase: ReembedPhase, recall: float | None = None) -> None:
        """Record how far the change got."""
        ...

    async def estimate(self) -> int:
        """About how many events there are."""
        ...

    async def counts(self, column: OtherColumn) -> ReembedCounts:
        """How far a column is, exactly: reads all events."""
        ...

    async def unfilled(self, column: OtherColumn, after: RowKey | None, limit: int) -> list[UnfilledEvent]:
        """Events that lack a vector in `column`, in order, those behind `after` only."""
        ...

    async def fill(
        self,
        column: OtherColumn,
        filled: Sequence[FilledEvent],
        space: EmbeddingSpace,
        position: RowKey | None = None,
    ) -> None:
        """Write vectors of `space`, and how far the first pass is. Leaves alone what changed since it was read.

        Raises EmbeddingSpaceMismatchError when the column is for another space.
        """
        ...

    async def index_unfilled(self, column: OtherColumn) -> None:
        """Have an index that finds unfilled events, made while others read and write."""
        ...

    async def index_vectors(self) -> None:
        """Have an index over the vectors of the next model, made while others read and write."""
        ...

    async def index_progress(self) -> tuple[int, int]:
        """Of the index that is being made: what is done, and what there is to do."""
        ...

    async def sample(self, limit: int) -> list[Json]:
        """The contents of some embedded events."""
        ...

    async def nearest(self, vector: Vector, limit: int) -> tuple[list[float], list[float]]:
        """Distances of the events nearest by the next model: as its index finds them, and as they are."""
        ...

    async def swap(self, most_unfilled: int) -> bool:
        """Put the next model's vectors in the place of those in use, at once for everybody.

        Events that lack one become PENDING, those that the model refused FAILED. False when more than `most_unfilled`
        lack one: nothing was changed then.
        """
        ...

    async def roll_back(self, most_unfilled: int) -> bool:
        """Put the old model's vectors back, at once for everybody; the new ones become the next ones.

        Events that lack an old one become PENDING. False when these are more than `most_unfilled`.
        """
        ...

    async def drop(self, column: OtherColumn) -> None:
        """Drop a column, its index and its space, and end the job."""
        ...
