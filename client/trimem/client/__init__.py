"""A typed client of Trimem, sync and async.

from trimem.client import TrimemClient

with TrimemClient("127.0.0.1:50050") as memory:
    memory.remember("Ada prefers the window seat on trains.", metadata={"person": "ada"})
    for hit in memory.search("where does Ada like to sit?").hits:
        print(hit.score, hit.event.content["text"])
"""

from trimem.client.aio import AsyncTrimemClient
from trimem.client.errors import (
    AbortedError,
    AlreadyExistsError,
    DeadlineExceededError,
    FailedPreconditionError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    TrimemError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from trimem.client.retries import RetryPolicy
from trimem.client.sync import TrimemClient
from trimem.client.types import (
    Domain,
    Embedding,
    EmbeddingState,
    Event,
    Health,
    ImportSummary,
    InputKind,
    ModelInfo,
    Models,
    ModelState,
    NewEvent,
    SearchHit,
    SearchMode,
    SearchPage,
    Similarity,
    TokenCounts,
)

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "AsyncTrimemClient",
    "DeadlineExceededError",
    "Domain",
    "Embedding",
    "EmbeddingState",
    "Event",
    "FailedPreconditionError",
    "FieldViolation",
    "Health",
    "ImportSummary",
    "InputKind",
    "InternalError",
    "InvalidArgumentError",
    "ModelInfo",
    "ModelState",
    "Models",
    "NewEvent",
    "NotFoundError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "RetryPolicy",
    "SearchHit",
    "SearchMode",
    "SearchPage",
    "Similarity",
    "TokenCounts",
    "TrimemClient",
    "TrimemError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
]
