"""What a call may raise: one class for each canonical code that a caller can act on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import grpc


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong."""

    #: Path in the request, such as `requests[3].event.content.text`.
    field: str
    description: str


class TrimemError(Exception):
    """A call that failed."""

    default_code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        violations: Sequence[FieldViolation] = (),
        request_id: str = "",
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        #: The canonical code.
        self.code = code or self.default_code
        #: A constant such as EVENT_NOT_FOUND; empty when the error does not come from Trimem itself.
        self.reason = reason
        self.violations = tuple(violations)
        #: Names the call in the logs of the services.
        self.request_id = request_id
        #: Seconds after which the server says that a retry may succeed.
        self.retry_after = retry_after
        #: What the server adds to the reason.
        self.metadata = dict(metadata or {})


class InvalidArgumentError(TrimemError):
    """The request is wrong; `violations` names the fields."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT


class NotFoundError(TrimemError):
    """What the request names does not exist."""

    default_code = grpc.StatusCode.NOT_FOUND


class AlreadyExistsError(TrimemError):
    """What the request would create exists, or was deleted not long ago."""

    default_code = grpc.StatusCode.ALREADY_EXISTS


class FailedPreconditionError(TrimemError):
    """Somebody must change the state of the system first."""

    default_code = grpc.StatusCode.FAILED_PRECONDITION


class AbortedError(TrimemError):
    """Another operation was in the way."""

    default_code = grpc.StatusCode.ABORTED


class ResourceExhaustedError(TrimemError):
    """A limit was hit: a rate, a queue, a size."""

    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class UnauthenticatedError(TrimemError):
    """No valid API key."""

    default_code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDeniedError(TrimemError):
    """The API key does not allow this."""

    default_code = grpc.StatusCode.PERMISSION_DENIED


class UnimplementedError(TrimemError):
    """The server does not have this method."""

    default_code = grpc.StatusCode.UNIMPLEMENTED


class UnavailableError(TrimemError):
    """The server, or something that it needs, cannot be reached."""

    default_code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceededError(TrimemError):
    """No answer in the time that the call had."""

    default_code = grpc.StatusCode.DEADLINE_EXCEEDED


class InternalError(TrimemError):
    """A fault of the server; its log has more under the request id."""

    default_code = grpc.StatusCode.INTERNAL


#: A code that is not here is a TrimemError.
BY_CODE: Mapping[grpc.StatusCode, type[TrimemError]] = {cls.default_code: cls for cls in TrimemError.__subclasses__()}
