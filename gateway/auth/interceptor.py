"""The gate at the gRPC door."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from gateway.auth.bearer import bearer_token
from gateway.auth.scopes import Scope, scope_of
from gateway.calls import time_left
from gateway.gate import Admission, Gate, Visitor
from gateway.limits.addresses import address_of_peer
from gateway.limits.texts import TextCounter, text_counter
from servicekit.errors import DeadlineExceededError, InvalidArgumentError, TrimemError
from servicekit.interceptors.layers import Context, Handler, Wrapped, behaviour, rebuild
from servicekit.off_loop import off_loop
from servicekit.streams import complete

AUTHORIZATION = "authorization"

#: They say nothing that is not in the repository, and balancers have no keys.
_OPEN = ("/grpc.health.", "/grpc.reflection.")


class GateInterceptor(grpc.aio.ServerInterceptor):
    """Asks the gate about each call before a message of it is read, and counts the texts in what is read then.

    What is neither a method of the given services nor health nor reflection is not there.
    """

    def __init__(self, gate: Gate, services: Iterable[ServiceDescriptor], *, patience: float) -> None:
        """`patience`, in seconds, is for the message of a unary call whose caller sets no deadline."""
        self._gate = gate
        self._patience = patience
        self._methods: dict[str, tuple[Scope, TextCounter | None]] = {
            f"/{service.full_name}/{method.name}": (scope_of(method), text_counter(method))
            for service in services
            for method in service.methods
        }
        self._wrapped = Wrapped(self._wrap)
        self._keyless = Wrapped(self._wrap_keyless)
        logging.getLogger("grpc._cython.cygrpc").addFilter(_quotes_no_header)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        if method.startswith(_OPEN):
            is_stream = handler.request_streaming or handler.response_streaming
            return self._keyless.instead_of(handler, method) if is_stream else handler
        return self._wrapped.instead_of(handler, method) if method in self._methods else None

    def _wrap_keyless(self, handler: Handler, method: str) -> Handler:
        """A handler of a stream without a key, which may last for ever: an address may have so many of them."""
        inner = behaviour(handler)

        async def run(request: Any, context: Context) -> Any:
            with self._gate.keyless_stream(_visitor(method, context)):
                return await inner(request, context)

        return rebuild(handler, run)

    def _wrap(self, handler: Handler, method: str) -> Handler:
        """A handler of a stream of requests, even for one request: gRPC reads that only when it is asked to.

        It would read the one message of a call before its handler runs, up to 16 MiB for everybody without a key.
        """
        scope, count_texts = self._methods[method]
        inner = behaviour(handler)

        async def run(requests: AsyncIterator[bytes], context: Context) -> Any:
            admission = self._gate.admit(_visitor(method, context), scope)
            if handler.request_streaming:
                return await _Stream(admission, paced=count_texts is not None).run(inner, requests, context)
            request = await self._only(requests, context)
            if count_texts is not None:
                admission.charge_texts(await off_loop(len(request), partial(count_texts, request)))
            return await inner(request, context)

        make: Any = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        wrapped: Handler = make(run, handler.request_deserializer, handler.response_serializer)
        return wrapped

    async def _only(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        """The one message of a unary call. Read, not iterated over: an iterator left before its end costs two tasks."""
        try:
            async with asyncio.timeout(time_left(self._patience)):
                request = await context.read()
        except TimeoutError:
            raise DeadlineExceededError("the message of the call did not arrive in time") from None
        if isinstance(request, bytes):
            return request
        async for _ in complete(requests, context.cancelled):  # tells a call that was broken off from one that ended
            pass
        raise InvalidArgumentError("request", "is missing: the call ended without a message")


class _Stream:
    """A stream of requests that was admitted, and is looked at again with each message."""

    def __init__(self, admission: Admission, *, paced: bool) -> None:
        self._admission = admission
        self._paced = paced
        self._refused: TrimemError | None = None

    async def run(
        self, inner: Callable[[Any, Context], Awaitable[Any]], requests: AsyncIterator[bytes], context: Context
    ) -> Any:
        try:
            return await inner(self._admitted(requests), context)
        except asyncio.CancelledError:
            # gRPC ends the call that is made with requests which fail, and keeps to itself why.
            task = asyncio.current_task()
            if self._refused is not None and not (task and task.cancelling()):
                raise self._refused from None
            raise

    async def _admitted(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for request in requests:
            try:
                self._admission.check_again()
                if self._paced:
                    await self._admission.pace_text()
            except TrimemError as error:
                self._refused = error
                raise
            yield request


def _quotes_no_header(record: logging.LogRecord) -> bool:
    """gRPC logs metadata that is not UTF-8, with a traceback and in full: it may be most of a token."""
    return not str(record.msg).startswith("Invalid encoding")


def _visitor(method: str, context: Context) -> Visitor:
    headers = [value for key, value in context.invocation_metadata() or () if key == AUTHORIZATION]
    return Visitor(address_of_peer(context.peer()), bearer_token(headers), method)
