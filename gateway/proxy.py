"""gRPC calls passed through to the backends as bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Never, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor

from gateway.backends import Backend
from gateway.calls import own_error, time_left
from servicekit.context import REQUEST_ID_KEY, request_id
from servicekit.status import DETAILS_KEY
from servicekit.streams import complete

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

#: Says something about one connection, not about the call; the request id is set anew on each side.
_HOP_BY_HOP = {
    "connection",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    REQUEST_ID_KEY,
}


class Proxy(grpc.GenericRpcHandler):
    """Passes the methods of the public services through, all four kinds. gRPC answers UNIMPLEMENTED for others.

    Messages are not decoded. Metadata, deadline and cancellation travel inwards; messages, metadata, status code,
    message and details travel outwards.
    """

    def __init__(self, backends: Iterable[Backend], *, default_deadline: float) -> None:
        """`default_deadline`, in seconds, is for unary calls without one. Streams may run for hours."""
        self._handlers = {
            f"/{service.full_name}/{method.name}": _handler(backend, method, default_deadline)
            for backend in backends
            for service in backend.services
            for method in service.methods
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The handler of a method, or None when it is not public."""
        return self._handlers.get(handler_call_details.method)


def travelling(metadata: Iterable[tuple[str, str | bytes]] | None) -> Metadata:
    """The metadata that belongs to a call rather than to one of its connections."""
    return tuple(
        (key, value)
        for key, value in metadata or ()
        if key == DETAILS_KEY or not (key in _HOP_BY_HOP or key.startswith(("grpc-", ":")))
    )


def _handler(backend: Backend, method: MethodDescriptor, default_deadline: float) -> Handler:
    """No serializers are given anywhere, which makes gRPC pass bytes."""
    channel = backend.channel
    path = f"/{method.containing_service.full_name}/{method.name}"
    match bool(method.client_streaming), bool(method.server_streaming):
        case False, False:
            unary = _Method(backend.name, channel.unary_unary(path), default_deadline)
            return grpc.unary_unary_rpc_method_handler(unary.answer_once)
        case True, False:
            upload = _Method(backend.name, channel.stream_unary(path), None)
            return grpc.stream_unary_rpc_method_handler(upload.answer_once)
        case False, True:
            download = _Method(backend.name, channel.unary_stream(path), None)
            return grpc.unary_stream_rpc_method_handler(download.answer_many)
        case _:
            both = _Method(backend.name, channel.stream_stream(path), None)
            return grpc.stream_stream_rpc_method_handler(both.answer_many)


class _Method:
    """One method of a backend."""

    def __init__(self, backend: str, stub: Any, default_deadline: float | None) -> None:
        self._backend = backend
        self._stub = stub
        self._default_deadline = default_deadline

    async def answer_once(self, request: bytes | AsyncIterator[bytes], context: Context) -> bytes:
        """Handle a call with one answer. `request` is the message, or an iterator over the messages."""
        call = self._call(request, context)
        try:
            response: bytes = await call
        except grpc.aio.AioRpcError as error:
            await _send_initial(context, error.initial_metadata())
            await self._fail(context, error)
        await _send_initial(context, await call.initial_metadata())
        _add_trailing(context, await call.trailing_metadata())
        return response

    async def answer_many(self, request: bytes | AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        """Handle a call with a stream of answers."""
        call = self._call(request, context)
        try:
            # Even when empty: a caller may wait for it before it sends its first message.
            await context.send_initial_metadata(travelling(await call.initial_metadata()))
            async for response in call:
                yield response
            _add_trailing(context, await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            await self._fail(context, error)
        finally:
            call.cancel()  # without effect when it is over

    def _call(self, request: bytes | AsyncIterator[bytes], context: Context) -> Any:
        return self._stub(
            request if isinstance(request, bytes) else complete(request, context.cancelled),
            timeout=time_left(self._default_deadline),
            metadata=(*travelling(context.invocation_metadata()), (REQUEST_ID_KEY, request_id.get())),
        )

    async def _fail(self, context: Context, error: grpc.aio.AioRpcError) -> Never:
        if own := own_error(error, self._backend):
            raise own from error
        _add_trailing(context, error.trailing_metadata())
        await context.abort(error.code(), error.details() or "", context.trailing_metadata())


async def _send_initial(context: Context, metadata: Iterable[tuple[str, str | bytes]]) -> None:
    if kept := travelling(metadata):
        await context.send_initial_metadata(kept)


def _add_trailing(context: Context, metadata: Iterable[tuple[str, str | bytes]]) -> None:
    context.set_trailing_metadata((*(context.trailing_metadata() or ()), *travelling(metadata)))
