"""The cases that only the store knows."""

from servicekit.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from store.events import EmbeddingSpace


class EventNotFoundError(NotFoundError):
    """No event has this id."""

    reason = "EVENT_NOT_FOUND"


class EventAlreadyExistsError(AlreadyExistsError):
    """Another event has this id."""

    reason = "EVENT_ALREADY_EXISTS"


class EmbeddingSpaceMismatchError(FailedPreconditionError):
    """The embedder runs another model than the one that made the stored vectors."""

    reason = "EMBEDDING_SPACE_MISMATCH"

    def __init__(self, stored: EmbeddingSpace, offered: EmbeddingSpace) -> None:
        super().__init__(
            f"the stored vectors were made by {stored.describe()}, the embedder runs {offered.describe()}: vectors of "
            "different models cannot be compared. Point the embedder back at the model of the stored vectors "
            "(EMBEDDING_MODEL), or keep the new model's events in another database; this version cannot re-embed "
            "stored events"
        )


class EmbeddingDimensionError(FailedPreconditionError):
    """The embedder makes vectors of another length than the database keeps."""

    reason = "EMBEDDING_SPACE_MISMATCH"

    def __init__(self, expected: int, offered: EmbeddingSpace) -> None:
        super().__init__(
            f"the store keeps vectors of {expected} dimensions (EMBEDDING_DIMENSION), the embedder runs "
            f"{offered.describe()}: point the embedder at a model of {expected} dimensions (EMBEDDING_MODEL)"
        )


class EmbeddingSpaceUnknownError(FailedPreconditionError):
    """There are vectors, and nobody wrote down which model made them."""

    reason = "EMBEDDING_SPACE_UNKNOWN"

    def __init__(self) -> None:
        super().__init__(
            "the database has vectors from before Trimem, and which model made them is not recorded. If the embedder "
            "runs that model, record it with `python -m store adopt-space`"
        )


class EmbedderUnavailableError(UnavailableError):
    """The embedder cannot be reached, is overloaded, or did not answer in time."""

    reason = "EMBEDDER_UNAVAILABLE"


class DatabaseUnavailableError(UnavailableError):
    """PostgreSQL cannot be reached."""

    reason = "DATABASE_UNAVAILABLE"


class TextsRefusedError(InvalidArgumentError):
    """The embedder takes the call for wrong because of some of its texts.

    `indexes` are the positions of those texts; empty when the embedder did not say which.
    """

    def __init__(self, indexes: frozenset[int], description: str) -> None:
        super().__init__("inputs", description)
        self.indexes = indexes


class SchemaError(FailedPreconditionError):
    """The database is not what this version of the store needs."""

    reason = "SCHEMA_MISMATCH"


class AdoptionRefusedError(FailedPreconditionError):
    """The embedder's model does not look like the one that made the stored vectors."""

    reason = "EMBEDDING_SPACE_ADOPTION_REFUSED"
