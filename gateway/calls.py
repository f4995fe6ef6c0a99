"""What calls to a backend have in common, whichever door the caller came through."""

import grpc

from servicekit import context
from servicekit.errors import DeadlineExceededError, ResourceExhaustedError, TrimemError, UnavailableError


class BackendUnreachableError(UnavailableError):
    """A service behind the gateway is down, not ready, or broke the connection."""

    reason = "BACKEND_UNREACHABLE"


class RequestTooLargeError(ResourceExhaustedError):
    """The request is within the limits of the gateway, but as a message larger than the backend takes."""

    reason = "REQUEST_TOO_LARGE"


def time_left(default: float | None) -> float | None:
    """Seconds that a backend may take: all that the caller left, or `default` when the caller set no deadline.

    Raises DeadlineExceededError when nothing is left. None means no limit.
    """
    left = context.remaining()
    if left is None:
        return default
    if left <= 0:
        raise DeadlineExceededError("the deadline passed before the call could be passed on")
    return left


def own_error(error: grpc.aio.AioRpcError, backend: str) -> TrimemError | None:
    """The error of a call that ended on our side of the wire, or None when the backend itself answered.

    Servers of ours send a request id with every answer, so without trailing metadata there was no answer. What gRPC
    says about it (addresses, socket errors) is not for callers.
    """
    if error.trailing_metadata():
        return None
    match error.code():
        # CANCELLED: it stopped; our callers' own cancelling ends in CancelledError. INTERNAL, UNKNOWN: the connection
        # broke in the middle of a stream.
        case (
            grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED | grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN
        ):
            return BackendUnreachableError(f"the {backend} cannot be reached")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceededError(f"the {backend} did not answer before the deadline")
        case grpc.StatusCode.RESOURCE_EXHAUSTED if (error.details() or "").startswith("SERVER:"):
            return RequestTooLargeError(f"the request is larger than the {backend} takes")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return ResourceExhaustedError(f"the answer of the {backend} is larger than the gateway passes on")
        case _:
            return None
