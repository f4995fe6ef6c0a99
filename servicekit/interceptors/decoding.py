"""Reads requests, so that bytes which are no message are the caller's fault and not INTERNAL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from servicekit.errors import InvalidArgumentError
from servicekit.interceptors.around import Context, Handler, Wrapped, behaviour, rebuild


class DecodingInterceptor(grpc.aio.ServerInterceptor):
    """gRPC itself answers INTERNAL when a request does not parse, invalid UTF-8 in a string included.

    A handler of streamed requests iterates over them: `context.read()` would give it the bytes.
    """

    def __init__(self) -> None:
        self._wrapped = Wrapped(lambda handler, _method: rebuild(handler, _decoded(handler), decode=False))

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:  # unknown method, or one that wants the bytes
            return handler
        return self._wrapped.instead_of(handler, handler_call_details.method)


def _decoded(handler: Handler) -> Callable[[Any, Context], Any]:
    inner = behaviour(handler)
    parse: Callable[[bytes], Any] = handler.request_deserializer  # type: ignore[assignment]

    def read(raw: Any) -> Any:
        if not handler.request_streaming:
            return _parse(parse, raw)

        async def each() -> AsyncIterator[Any]:
            async for item in raw:
                yield _parse(parse, item)

        return each()

    async def run(raw: Any, context: Context) -> Any:
        return await inner(read(raw), context)

    return run


def _parse(parse: Callable[[bytes], Any], raw: bytes) -> Any:
    try:
        return parse(raw)
    except DecodeError:
        raise InvalidArgumentError("request", "is not a valid message, or a string in it is not UTF-8") from None
