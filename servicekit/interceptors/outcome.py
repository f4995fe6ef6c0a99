"""How a call ended, for those who report it."""

import asyncio

import grpc

from servicekit.context import DEADLINE_MARGIN_SECONDS
from servicekit.interceptors.layers import Call

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def outcome(call: Call, error: BaseException | None) -> grpc.StatusCode:
    """The status code that the caller of a finished call sees."""
    if isinstance(error, asyncio.CancelledError):
        # A caller whose time is up cancels, and may be a little earlier than our own clock.
        left: float | None = call.context.time_remaining()
        late = left is not None and left <= DEADLINE_MARGIN_SECONDS
        return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
    code: object = call.context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    if isinstance(code, int) and code:  # the handler gave the number
        return _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    return grpc.StatusCode.OK if error is None else grpc.StatusCode.UNKNOWN
