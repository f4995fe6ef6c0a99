"""What can be wrong with an HTTP request before it is a call, and the status codes of HTTP."""

from collections.abc import Sequence

from google.rpc import code_pb2

from gateway.calls import RequestTooLargeError
from servicekit.errors import (
    DeadlineExceededError,
    FieldViolation,
    InvalidArgumentError,
    NotFoundError,
    TrimemError,
    UnimplementedError,
)


class InvalidRequestError(InvalidArgumentError):
    """Fields of the request are wrong: all of them are named, up to a limit."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        super().__init__(first.field, first.description)
        self.violations = tuple(violations)
        self.message = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)


class BodyTooLargeError(InvalidArgumentError):
    """The body is larger than the gateway takes."""

    reason = "BODY_TOO_LARGE"


class SlowClientError(DeadlineExceededError):
    """The client takes too long for what it sends."""

    reason = "SLOW_CLIENT"


class HeadersTooLargeError(InvalidArgumentError):
    """The headers are larger than the gateway takes."""

    reason = "HEADERS_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        super().__init__("headers", f"are larger than {limit} bytes, or more than 128")


class NotHttpError(InvalidArgumentError):
    """The bytes are no HTTP request. What they were is not repeated."""

    reason = "NOT_HTTP"

    def __init__(self) -> None:
        super().__init__("request", "is not valid HTTP")


class MediaTypeError(InvalidArgumentError):
    """The body is declared to be something else than what this path reads."""

    reason = "UNSUPPORTED_MEDIA_TYPE"


class UnknownPathError(NotFoundError):
    """Nothing is served there."""

    reason = "UNKNOWN_PATH"

    def __init__(self) -> None:
        super().__init__("nothing is served at this path")


class MethodNotAllowedError(UnimplementedError):
    """The path exists, for other HTTP methods."""

    reason = "METHOD_NOT_ALLOWED"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"this path is for {' and '.join(allowed)}")
        self.allowed = tuple(allowed)


#: The standard mapping, from the comments of google/rpc/code.proto.
_HTTP_STATUS = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}

#: Where HTTP has a status of its own for what gRPC has no code for.
_HTTP_ONLY: dict[type[TrimemError], int] = {
    BodyTooLargeError: 413,
    HeadersTooLargeError: 431,
    MediaTypeError: 415,
    MethodNotAllowedError: 405,
    RequestTooLargeError: 413,
    SlowClientError: 408,
}


def http_status(code: int) -> int:
    """The HTTP status for a gRPC status code."""
    return _HTTP_STATUS.get(code, 500)


def http_only_status(error: TrimemError) -> int | None:
    """The HTTP status of an error that HTTP has a status of its own for."""
    return _HTTP_ONLY.get(type(error))
