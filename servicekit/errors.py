"""What can go wrong, in terms that no transport needs to know.

Use cases raise these; `servicekit.status` is the one place that maps them to gRPC status codes. Every error has a
`reason`: a constant in UPPER_SNAKE_CASE that programs can branch on (AIP-193). A subclass in a service names a
case of its own by overriding `reason`.
"""

from dataclasses import dataclass
from typing import ClassVar


class TrimemError(Exception):
    """Anything that Trimem itself reports. The message is shown to the caller: it must not leak internals."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        #: Seconds after which a retry may succeed, or None when a retry does not help.
        self.retry_after = retry_after
        #: What a program may want to know beside the reason, by names in lower_snake_case.
        self.metadata: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong."""

    #: Path in the request, such as `requests[3].event.content.text`.
    field: str
    #: What is wrong with it, as a phrase that follows the field's name.
    description: str


class InvalidArgumentError(TrimemError):
    """The request is wrong whatever the state of the system; the same request will fail again."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.violations: tuple[FieldViolation, ...] = (FieldViolation(field, description),)

    def within(self, parent: str) -> "InvalidArgumentError":
        """The same error for a request that carries this one below `parent`."""
        violation = self.violations[0]
        return InvalidArgumentError(f"{parent}.{violation.field}", violation.description)


class NotFoundError(TrimemError):
    """Something that the request names does not exist."""

    reason = "NOT_FOUND"


class AlreadyExistsError(TrimemError):
    """Something that the request would create exists."""

    reason = "ALREADY_EXISTS"


class FailedPreconditionError(TrimemError):
    """The state of the system must be changed by somebody before the request can succeed."""

    reason = "FAILED_PRECONDITION"


class AbortedError(TrimemError):
    """Another operation is in the way."""

    reason = "ABORTED"


class ResourceExhaustedError(TrimemError):
    """A limit was hit: a queue, a quota, memory."""

    reason = "RESOURCE_EXHAUSTED"


class UnauthenticatedError(TrimemError):
    """The caller did not prove who they are."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(TrimemError):
    """The caller may not do this."""

    reason = "PERMISSION_DENIED"


class UnimplementedError(TrimemError):
    """This version does not do this."""

    reason = "UNIMPLEMENTED"


class UnavailableError(TrimemError):
    """Something that the request needs cannot be reached now."""

    reason = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_after: float | None = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)


class DeadlineExceededError(TrimemError):
    """The caller's time is up."""

    reason = "DEADLINE_EXCEEDED"


class InternalError(TrimemError):
    """A fault of ours. The cause is in the log under the request id, never in the message."""

    reason = "INTERNAL"

    def __init__(self, message: str = "internal error") -> None:
        super().__init__(message)
