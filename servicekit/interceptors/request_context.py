"""Gives every call a request id and makes its deadline known to the calls that it causes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import structlog

from servicekit import context
from servicekit.errors import UnimplementedError
from servicekit.interceptors.layers import AroundLayer, Call, Context, Handler
from servicekit.status import DETAILS_KEY, code_of, to_status


class RequestContextLayer(AroundLayer):
    """Takes the caller's `x-request-id`, or makes one, and sends it back in the trailing metadata."""

    @contextmanager
    def around(self, call: Call) -> Iterator[None]:
        identity = _identify(call.context)
        left: float | None = call.context.time_remaining()
        context.deadline.set(None if left is None else time.monotonic() + left)
        _add_trailing(call, identity)  # now, for those who end the call themselves
        yield
        _add_trailing(call, identity)  # again, in case that the handler set metadata of its own


def _add_trailing(call: Call, identity: str) -> None:
    present = tuple(call.context.trailing_metadata() or ())
    if not any(key == context.REQUEST_ID_KEY for key, _ in present):
        call.context.set_trailing_metadata((*present, (context.REQUEST_ID_KEY, identity)))


def _identify(call: Context) -> str:
    offered = next((v for k, v in call.invocation_metadata() or () if k == context.REQUEST_ID_KEY), None)
    identity = context.accept_request_id(offered)
    context.request_id.set(identity)
    return identity


async def _refuse(_requests: Any, call: Context) -> None:
    """Without metrics, and without the name: callers could fill memory and logs with names that they make up."""
    identity = _identify(call)
    error = UnimplementedError("this server has no such method")
    status = to_status(error, identity)
    structlog.get_logger("access").info("no such method", code=code_of(error).name, peer=call.peer())
    trailing = ((context.REQUEST_ID_KEY, identity), (DETAILS_KEY, status.SerializeToString()))
    await call.abort(code_of(error), status.message, trailing)


#: gRPC would answer calls of methods that are not there by itself, unseen and without a request id.
#: Of this kind because it begins before there is a message, and there may be none.
NO_SUCH_METHOD: Handler = grpc.stream_stream_rpc_method_handler(_refuse)
