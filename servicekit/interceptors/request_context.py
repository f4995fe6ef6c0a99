"""Gives every call a request id and makes its deadline known to the calls that it causes."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from servicekit import context
from servicekit.interceptors.around import AroundInterceptor, Call


class RequestContextInterceptor(AroundInterceptor):
    """Takes the caller's `x-request-id`, or makes one, and sends it back in the trailing metadata."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        offered = next((v for k, v in call.context.invocation_metadata() or () if k == context.REQUEST_ID_KEY), None)
        identity = context.accept_request_id(offered)
        context.request_id.set(identity)
        left: float | None = call.context.time_remaining()
        context.deadline.set(None if left is None else time.monotonic() + left)
        _add_trailing(call, identity)  # now, for those who end the call themselves
        yield
        _add_trailing(call, identity)  # again, in case that the handler set metadata of its own


def _add_trailing(call: Call, identity: str) -> None:
    present = tuple(call.context.trailing_metadata() or ())
    if not any(key == context.REQUEST_ID_KEY for key, _ in present):
        call.context.set_trailing_metadata((*present, (context.REQUEST_ID_KEY, identity)))
