"""What the store keeps, in plain dataclasses: no transport and no database in here."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
import numpy.typing as npt

#: A JSON object.
Json: TypeAlias = dict[str, Any]

#: float32, one-dimensional.
Vector: TypeAlias = npt.NDArray[np.float32]


class FailStrategy(StrEnum):
    """What a write does while the embedder cannot be reached."""

    #: Store the event as PENDING; the backfill embeds it later.
    SOFT = "soft"
    #: Fail, and store nothing.
    HARD = "hard"


class EmbeddingState(StrEnum):
    """How far the embedding of an event got; the values are those of the column."""

    EMBEDDED = "EMBEDDED"
    PENDING = "PENDING"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


class ReembedPhase(StrEnum):
    """How far the change to another model got; the values are those of the column."""

    #: The second column gets its vectors.
    FILLING = "FILLING"
    INDEXING = "INDEXING"
    VERIFYING = "VERIFYING"
    #: All that is left is to exchange the columns.
    READY = "READY"
    #: Done; the old column waits to be dropped, or to be taken back.
    SWAPPED = "SWAPPED"


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, hashed to 64 bits, each with how often it comes. See `store.use_cases.words`."""

    #: Distinct, ascending, signed.
    terms: tuple[int, ...] = ()
    #: As long as `terms`.
    counts: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """Words in all."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class GivenVector:
    """The vector of a text that the caller has embedded, and the fingerprint of the model that made it."""

    values: Vector
    fingerprint: str


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event as a caller wants it, not yet checked."""

    #: None when the request has no event at all.
    content: Json | None
    metadata: Json = field(default_factory=dict)
    id: str = ""
    timestamp: datetime | None = None
    request_id: str = ""
    #: As in GivenVector; none when empty.
    vector: Vector | None = None
    vector_fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that may be stored: checked, with its id and timestamp fixed."""

    id: UUID
    timestamp: datetime
    content: Json
    metadata: Json
    request_id: str | None = None
    embedding_state: EmbeddingState = EmbeddingState.SKIPPED
    #: Present exactly when the state is EMBEDDED.
    embedding: Vector | None = None
    words: Words = field(default_factory=Words)
    #: Why it is not embedded, when that is known.
    embedding_error: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event as stored."""

    id: UUID
    timestamp: datetime
    content: Json
    metadata: Json
    embedding_state: EmbeddingState
    create_time: datetime
    update_time: datetime
    #: Why it is not embedded, when that is known, and how often that was tried.
    embedding_error: str | None = None
    embedding_attempts: int = 0


@dataclass(frozen=True, slots=True)
class SearchHit:
    """An event and how well it matches; see SearchHit in event_service.proto."""

    event: Event
    #: What hits are ordered by, in [0, 1].
    score: float
    #: Cosine in [-1, 1]; 0 when nothing was compared.
    similarity: float
    #: BM25; 0 when the event has none of the words.
    lexical_score: float


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a list or a search looks at. The default is: all of them."""

    #: Contained in the event's metadata, as PostgreSQL's `jsonb @>` has it.
    metadata: Json = field(default_factory=dict)
    #: At or after.
    start_time: datetime | None = None
    #: Before.
    end_time: datetime | None = None
    #: How far its embedding got; None for any.
    embedding_state: EmbeddingState | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the order of events: by timestamp, then id."""

    timestamp: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """The model that made vectors. Only vectors of equal fingerprints may be compared."""

    model_name: str
    revision: str
    dimension: int
    fingerprint: str

    def describe(self) -> str:
        """For people: model, revision, length, and the beginning of the fingerprint."""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.model_name}{revision} ({self.dimension} dimensions, fingerprint {self.fingerprint[:12]})"
