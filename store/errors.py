"""The cases that only the store knows."""

from datetime import datetime
from uuid import UUID

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

    def __init__(self, event_id: UUID) -> None:
        super().__init__(f"no event has the id {event_id}")


class RepositoryNotFoundError(NotFoundError):
    """Nothing is kept of a repository."""

    reason = "REPOSITORY_NOT_FOUND"

    def __init__(self, repository: str) -> None:
        super().__init__(f"there is no repository {repository}")


class ChunkNotFoundError(NotFoundError):
    """No chunk of code has this id."""

    reason = "CHUNK_NOT_FOUND"

    def __init__(self, chunk_id: UUID) -> None:
        super().__init__(f"no chunk has the id {chunk_id}: its file may have changed")


class EventAlreadyExistsError(AlreadyExistsError):
    """Another event has this id, or had it before it was deleted."""

    reason = "EVENT_ALREADY_EXISTS"


class NodeNotFoundError(NotFoundError):
    """No node has this id."""

    reason = "NODE_NOT_FOUND"

    def __init__(self, node_id: UUID) -> None:
        super().__init__(f"no node has the id {node_id}")


class EndNotFoundError(FailedPreconditionError):
    """An edge begins or ends at a node that does not exist."""

    reason = "NODE_NOT_FOUND"

    def __init__(self, node_id: UUID) -> None:
        super().__init__(
            f"an edge begins or ends at {node_id}, and no node has that id: write nodes before their edges"
        )


class NamespaceReservedError(FailedPreconditionError):
    """A node or an edge belongs to code, which only CodeService writes."""

    reason = "NAMESPACE_RESERVED"

    def __init__(self, identity: UUID, namespace: str) -> None:
        super().__init__(f"{identity} belongs to {namespace}, which only CodeService changes")


class EmbeddingSpaceMismatchError(FailedPreconditionError):
    """The embedder runs another model than the one that made the stored vectors."""

    reason = "EMBEDDING_SPACE_MISMATCH"

    def __init__(self, stored: EmbeddingSpace, offered: EmbeddingSpace) -> None:
        super().__init__(
            f"the stored vectors were made by {stored.describe()}, the embedder runs {offered.describe()}: vectors of "
            "different models cannot be compared. Point the embedder back at the model of the stored vectors "
            "(EMBEDDING_MODEL). To change their model, run the new one in a second embedder and "
            "`python -m store reembed --embedder HOST:PORT`"
        )


class SpaceChangedError(UnavailableError):
    """The model of the stored vectors was exchanged while a call was using the old one."""

    reason = "EMBEDDING_SPACE_CHANGED"

    def __init__(self) -> None:
        super().__init__("the model of the stored vectors was exchanged during the call", retry_after=0.1)


class VectorSpaceMismatchError(FailedPreconditionError):
    """A vector that the caller made is of another model than the stored ones."""

    reason = "EMBEDDING_SPACE_MISMATCH"

    def __init__(self, stored: EmbeddingSpace, fingerprint: str) -> None:
        super().__init__(
            f"the stored vectors are made by {stored.describe()}, the given one by the model with the fingerprint "
            f"{fingerprint[:12]}: embed the text with the model of the stored vectors, or leave the vector out"
        )


class EmbeddingDimensionError(FailedPreconditionError):
    """The embedder makes vectors of another length than the database keeps."""

    reason = "EMBEDDING_SPACE_MISMATCH"

    def __init__(self, expected: int, offered: EmbeddingSpace) -> None:
        super().__init__(
            f"the store keeps vectors of {expected} dimensions, the embedder runs {offered.describe()}: point the "
            f"embedder at a model of {expected} dimensions (EMBEDDING_MODEL), or change the model of the stored "
            "vectors with `python -m store reembed --embedder HOST:PORT`"
        )


class CodeSpaceMismatchError(EmbeddingSpaceMismatchError):
    """The same, of code: its vectors are not changed in place, because code can be indexed again."""

    def __init__(self, column: str, stored: EmbeddingSpace, offered: EmbeddingSpace) -> None:
        setting = "EMBEDDING_MODEL" if column.endswith("_text") else "CODE_EMBEDDING_MODEL"
        FailedPreconditionError.__init__(
            self,
            f"the vectors in {column} were made by {stored.describe()}, the embedder runs {offered.describe()}: "
            "vectors of different models cannot be compared. Point the embedder back at the model of the stored ones "
            f"({setting}), or drop all code with `python -m store forget-code` and index it again",
        )


class CodeDimensionError(EmbeddingDimensionError):
    """The same, of code."""

    def __init__(self, expected: int, offered: EmbeddingSpace) -> None:
        FailedPreconditionError.__init__(
            self,
            f"the store keeps vectors of code of {expected} dimensions, the embedder runs {offered.describe()}: point "
            f"the embedder at models of {expected} dimensions, or set EMBEDDING_DIMENSION={offered.dimension}, drop "
            "all code with `python -m store forget-code`, and index it again",
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


class EmbedderFailedError(UnavailableError):
    """The embedder answered that it failed: a fault of its own, or one text that it cannot live with.

    Which of the two shows when it is given other texts.
    """

    reason = "EMBEDDER_FAILED"


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


class TimesRefusedError(InvalidArgumentError):
    """Events of these times would need more partitions than there may be."""

    def __init__(self, times: frozenset[datetime]) -> None:
        super().__init__(
            "event.timestamp",
            "is in a month without events, and there are as many months with events as EVENTS_MAX_PARTITIONS allows",
        )
        self.times = times


class SchemaError(FailedPreconditionError):
    """The database is not what this version of the store needs."""

    reason = "SCHEMA_MISMATCH"


class AdoptionRefusedError(FailedPreconditionError):
    """The embedder's model does not look like the one that made the stored vectors."""

    reason = "EMBEDDING_SPACE_ADOPTION_REFUSED"


class ReembedRunningError(FailedPreconditionError):
    """Another process is changing the model."""

    reason = "REEMBED_RUNNING"

    def __init__(self) -> None:
        super().__init__("another `python -m store reembed` works on this database: wait for it, or stop it")


class ReembedRefusedError(FailedPreconditionError):
    """The change of the model cannot begin or go on like this."""

    reason = "REEMBED_REFUSED"
