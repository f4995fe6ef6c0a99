"""The one map between our errors and gRPC statuses, in both directions."""

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from servicekit import errors
from servicekit.errors import TrimemError

DOMAIN = "trimem"

#: Trailing metadata key under which gRPC carries a serialized google.rpc.Status.
DETAILS_KEY = "grpc-status-details-bin"

#: Longest message and field path, in bytes of UTF-8. They may quote a request of megabytes, and travel up to three
#: times over, escaped, in headers of which gRPC clients take 8 KiB.
MAX_MESSAGE_BYTES = 1024
MAX_FIELD_BYTES = 256

#: Every class of the error tree finds its code here, by itself or by its nearest listed ancestor.
CODES: dict[type[TrimemError], grpc.StatusCode] = {
    TrimemError: grpc.StatusCode.INTERNAL,
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AbortedError: grpc.StatusCode.ABORTED,
    errors.ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.UnimplementedError: grpc.StatusCode.UNIMPLEMENTED,
    errors.UnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceededError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.InternalError: grpc.StatusCode.INTERNAL,
}


def code_of(error: TrimemError) -> grpc.StatusCode:
    """The status code of an error: that of the nearest class in its ancestry which the map lists."""
    return next(CODES[cls] for cls in type(error).__mro__ if cls in CODES)


def code_number(code: grpc.StatusCode) -> int:
    """The number that goes over the wire for a status code."""
    number: int = code.value[0]
    return number


def to_status(error: TrimemError, request_id: str = "") -> status_pb2.Status:
    """The google.rpc.Status of an error: code, message, and the details that help a program to react."""
    status = status_pb2.Status(code=code_number(code_of(error)), message=_clip(error.message, MAX_MESSAGE_BYTES))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if isinstance(error, errors.InvalidArgumentError):
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad_request.field_violations.add(
                field=_clip(violation.field, MAX_FIELD_BYTES),
                description=_clip(violation.description, MAX_MESSAGE_BYTES),
            )
        status.details.add().Pack(bad_request)
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if request_id:
        status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    return status


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The google.rpc.Status of a failed call: what the server attached, else code and message alone."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:  # not ours: something between us speaks HTTP and put other bytes there
                break
    return status_pb2.Status(code=code_number(error.code()), message=error.details() or "")


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The `ErrorInfo.reason` of a failed call, or an empty string when the server gave none."""
    info = error_details_pb2.ErrorInfo()
    for detail in status_of(error).details:
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _clip(text: str, limit: int) -> str:
    """The text as valid UTF-8 of at most `limit` bytes."""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
