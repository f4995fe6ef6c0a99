"""What is around calls, in layers: handlers that take the place of others, whatever kind of call it is."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

# Strings, because these classes are generic for type checkers only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC in progress."""

    #: Full name: `/package.Service/Method`.
    method: str
    context: Context

    @property
    def is_infrastructure(self) -> bool:
        """Health checks and reflection: they come every few seconds and say little."""
        return self.method.startswith("/grpc.")


class Wrapped:
    """The handlers that an interceptor puts in place of others, made once for each rather than for each call.

    Grows with the methods that are served, not with those that callers ask for.
    """

    def __init__(self, wrap: Callable[[Handler, str], Handler]) -> None:
        """`wrap` makes the handler that takes the place of one, given the full name of its method."""
        self._wrap = wrap
        self._made: dict[str, tuple[Handler, Handler]] = {}

    def instead_of(self, handler: Handler, method: str) -> Handler:
        """What takes the place of this very handler: one that was found for another call may be another."""
        made = self._made.get(method)
        if made is None or made[0] is not handler:
            made = self._made[method] = (handler, self._wrap(handler, method))
        return made[1]


class Layer(ABC):
    """Something around the calls of a server."""

    @abstractmethod
    def wrap(self, handler: Handler, method: str) -> Handler:
        """What takes the place of a handler, given the full name of its method. Asked once for each handler."""


class AroundLayer(Layer):
    """Runs a context manager around each call of all four kinds, streams until their last message.

    A plain one: what is around a call never waits, and async generators cost several times as much.
    """

    @abstractmethod
    def around(self, call: Call) -> AbstractContextManager[None]:
        """What to do before and after; an exception of the call is raised inside of it."""

    def wrap(self, handler: Handler, method: str) -> Handler:
        inner = behaviour(handler)

        async def run(request: Any, context: Context) -> Any:
            with self.around(Call(method, context)):
                return await inner(request, context)

        return rebuild(handler, run)


class LayersInterceptor(grpc.aio.ServerInterceptor):
    """All layers as one interceptor: gRPC goes through its interceptors anew with each call."""

    def __init__(self, layers: Sequence[Layer], missing: Handler) -> None:
        """`layers`, the outermost first. `missing` handles calls of methods that are not there."""
        self._layers = layers
        self._missing = missing
        self._wrapped = Wrapped(self._wrap)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = await continuation(handler_call_details)
        if handler is None:
            return self._missing
        return self._wrapped.instead_of(handler, handler_call_details.method)

    def _wrap(self, handler: Handler, method: str) -> Handler:
        for layer in reversed(self._layers):
            handler = layer.wrap(handler, method)
        return handler


def behaviour(handler: Handler) -> Callable[[Any, Context], Any]:
    """The coroutine function that a handler runs; one that yields its answers is made to write them.

    gRPC abandons a generator whose caller has gone. The interpreter then ends it some time later, outside of the
    call: what runs around it would report under another call's request id, and ask a context whose native part is
    freed. A coroutine is told in its place, by an exception.
    """
    found: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    behaves: Callable[[Any, Context], Any] = found
    if not inspect.isasyncgenfunction(behaves):
        return behaves

    async def write_all(request: Any, context: Context) -> None:
        async with aclosing(behaves(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return write_all


def rebuild(handler: Handler, function: Callable[[Any, Context], Any], *, decode: bool = True) -> Handler:
    """The same kind of handler with another behaviour; with `decode` False it gets the bytes of its requests."""
    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[bool(handler.request_streaming), bool(handler.response_streaming)]
    rebuilt: Handler = make(
        function,
        request_deserializer=handler.request_deserializer if decode else None,
        response_serializer=handler.response_serializer,
    )
    return rebuilt
