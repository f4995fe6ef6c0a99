"""Reads requests, so that bytes which are no message are the caller's fault and not INTERNAL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.message import DecodeError

from servicekit.errors import InvalidArgumentError
from servicekit.interceptors.layers import Context, Handler, Layer, behaviour, rebuild


class DecodingLayer(Layer):
    """gRPC itself answers INTERNAL when a request does not parse, invalid UTF-8 in a string included.

    A handler of streamed requests iterates over them: `context.read()` would give it the bytes.
    """

    def wrap(self, handler: Handler, _method: str) -> Handler:
        if handler.request_deserializer is None:  # it wants the bytes
            return handler
        return rebuild(handler, _decoded(handler), decode=False)


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
