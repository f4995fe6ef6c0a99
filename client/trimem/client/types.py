"""What goes into a client and comes out of it, in plain dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

#: A JSON object.
Json: TypeAlias = Mapping[str, Any]

#: Numbers of float32. A tuple, so that no array library is needed; `numpy.asarray(vector, dtype="f4")` takes it.
Vector: TypeAlias = tuple[float, ...]


class EmbeddingState(StrEnum):
    """How far the embedding of an event got."""

    EMBEDDED = "EMBEDDED"
    PENDING = "PENDING"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


class SearchMode(StrEnum):
    """What a search compares: meaning and words, meaning, or words."""

    HYBRID = "HYBRID"
    VECTOR = "VECTOR"
    LEXICAL = "LEXICAL"


class Domain(StrEnum):
    """Which model embeds: that for text, that for code, or both."""

    TEXT = "TEXT"
    CODE = "CODE"
    HYBRID = "HYBRID"


class InputKind(StrEnum):
    """What an input is for: something to be found, or something to find it with."""

    DOCUMENT = "DOCUMENT"
    QUERY = "QUERY"


class ModelState(StrEnum):
    """Where a model is in its life."""

    UNLOADED = "UNLOADED"
    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event on its way in. What is left out the server decides."""

    content: Json
    metadata: Json = field(default_factory=dict)
    #: UUID.
    id: str | None = None
    #: With a time zone; taken for UTC without one.
    timestamp: datetime | None = None
    #: Names this write and no other: the same one never writes twice.
    request_id: str | None = None
    #: The vector of the text, when the caller has made it, and the fingerprint of the model that did.
    vector: Vector | None = None
    vector_fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as stored. Times are in UTC."""

    id: str
    timestamp: datetime
    content: Json
    metadata: Json
    #: None is one that this version does not know; so are the other enums of answers.
    embedding_state: EmbeddingState | None
    create_time: datetime
    update_time: datetime
    #: Why it is not embedded yet, or never will be.
    embedding_error: str = ""
    embedding_attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """An event and how well it matches; event_service.proto says what the numbers are."""

    event: Event
    score: float
    similarity: float
    lexical_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage:
    """Some hits, best first."""

    hits: tuple[SearchHit, ...]
    #: What was compared in fact.
    mode: SearchMode | None
    #: False when there may be better hits, or more.
    complete: bool
    #: True when words answered alone, because the embedder could not be reached.
    degraded: bool
    #: Empty on the last page.
    next_page_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSummary:
    """What became of many events."""

    #: Also those whose `request_id` had been stored before: the answer is the same.
    stored: int = 0
    #: Not stored, because their ids are taken: by themselves, when the import is repeated.
    existing: int = 0
    failed: int = 0
    #: Of `stored`, those that are embedded later.
    pending: int = 0
    #: Place, from 0, and reason of those that failed; the first ones.
    errors: tuple[tuple[int, Exception], ...] = ()

    @property
    def settled(self) -> int:
        """Events that something became of."""
        return self.stored + self.existing + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """The model of one domain; embedding.proto explains the fields."""

    domain: Domain | None
    name: str
    revision: str
    #: Vectors with equal fingerprints may be compared, all others must not.
    fingerprint: str
    dimension: int
    max_tokens: int
    precision: str
    engine: str
    device: str
    state: ModelState | None
    weight_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models of the embedder that answered, and its memory."""

    models: tuple[ModelInfo, ...]
    rss_bytes: int
    #: 0 is no limit.
    memory_budget_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """What the models made of one input."""

    #: Set with TEXT and HYBRID.
    text: Vector | None
    #: Set with CODE and HYBRID.
    code: Vector | None
    token_count: int
    truncated: bool
    cached: bool
    #: What made it: one model, or with HYBRID that of TEXT and that of CODE.
    models: tuple[ModelInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """How alike two inputs are."""

    #: In [-1, 1].
    cosine: float
    #: (cosine + 1) / 2.
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of each input, and how many the model reads of one."""

    token_counts: tuple[int, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the gateway answers calls, and which of the services behind it do."""

    serving: bool
    services: Mapping[str, bool]
