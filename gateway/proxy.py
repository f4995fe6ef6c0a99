"""gRPC calls passed through to the backends as bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Never, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor

from gateway.backends import Backend
from gateway.calls import own_error, time_left
from gateway.silence import bounded_silence
from servicekit.context import REQUEST_ID_KEY, request_id
from servicekit.status import DETAILS_KEY
from servicekit.streams import complete

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

#: Says something about one connection, not about the call; the request id is set anew on each side, and keys are ours.
_HOP_BY_HOP = {
    "authorization",
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


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long calls may take, in seconds."""

    #: For a unary call whose caller sets no deadline.
    default: float
    #: The most for a unary call, whatever its caller sets; and the longest silence of a stream.
    longest: float

    def of_unary(self) -> float:
        """What a backend may take for the present call. Raises DeadlineExceededError when nothing is left."""
        left = time_left(None)
        return min(self.default if left is None else left, self.longest)


class Proxy(grpc.GenericRpcHandler):
    """Passes the methods of the public services through, all four kinds. gRPC answers UNIMPLEMENTED for others.

    Messages are not decoded. Metadata, deadline and cancellation travel inwards; messages, metadata, status code,
    message and details travel outwards.

    A stream may run for hours, as an import does: it has the deadline that its caller sets, however long, or none. It
    ends when nobody says anything for as long as a unary call may take.
    """

    def __init__(self, backends: Iterable[Backend], deadlines: Deadlines) -> None:
        self._handlers = {
            f"/{service.full_name}/{method.name}": _handler(backend, method, deadlines)
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


def _handler(backend: Backend, method: MethodDescriptor, deadlines: Deadlines) -> Handler:
    """No serializers are given anywhere, which makes gRPC pass bytes."""
    channel = backend.channel
    path = f"/{method.containing_service.full_name}/{method.name}"
    match bool(method.client_streaming), bool(method.server_streaming):
        case False, False:
            unary = _Method(backend.name, channel.unary_unary(path), deadlines)
            return grpc.unary_unary_rpc_method_handler(unary.answer)
        case True, False:
            upload = _Method(backend.name, channel.stream_unary(path), deadlines)
            return grpc.stream_unary_rpc_method_handler(upload.answer_all)
        case False, True:
            download = _Method(backend.name, channel.unary_stream(path), deadlines)
            return grpc.unary_stream_rpc_method_handler(download.write_answers)
        case _:
            both = _Method(backend.name, channel.stream_stream(path), deadlines)
            return grpc.stream_stream_rpc_method_handler(both.write_answers)


class _Method:
    """One method of a backend."""

    def __init__(self, backend: str, stub: Any, deadlines: Deadlines) -> None:
        self._backend = backend
        self._stub = stub
        self._deadlines = deadlines

    async def answer(self, request: bytes, context: Context) -> bytes:
        """Handle a unary call."""
        return await self._answered(self._call(request, context, self._deadlines.of_unary()), context)

    async def answer_all(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        """Handle a call with many messages and one answer."""
        async with bounded_silence(self._deadlines.longest) as heard:
            return await self._answered(self._stream(requests, context, heard), context)

    async def write_answers(self, request: bytes | AsyncIterator[bytes], context: Context) -> None:
        """Handle a call with many answers. `request` is the message, or an iterator over the messages."""
        async with bounded_silence(self._deadlines.longest) as heard:
            call = self._stream(request, context, heard)
            try:
                # Even when empty: a caller may wait for it before it sends its first message.
                await context.send_initial_metadata(travelling(await call.initial_metadata()))
                async for response in call:
                    heard()
                    await context.write(response)
                _add_trailing(context, await call.trailing_metadata())
            except grpc.aio.AioRpcError as error:
                await self._fail(context, error)
            finally:
                call.cancel()  # without effect when it is over

    async def _answered(self, call: Any, context: Context) -> bytes:
        try:
            response: bytes = await call
        except grpc.aio.AioRpcError as error:
            await _send_initial(context, error.initial_metadata())
            await self._fail(context, error)
        await _send_initial(context, await call.initial_metadata())
        _add_trailing(context, await call.trailing_metadata())
        return response

    def _stream(self, request: bytes | AsyncIterator[bytes], context: Context, heard: Callable[[], None]) -> Any:
        messages = request if isinstance(request, bytes) else _each(complete(request, context.cancelled), heard)
        return self._call(messages, context, time_left(None))

    def _call(self, request: bytes | AsyncIterator[bytes], context: Context, timeout: float | None) -> Any:
        metadata = (*travelling(context.invocation_metadata()), (REQUEST_ID_KEY, request_id.get()))
        return self._stub(request, timeout=timeout, metadata=metadata)

    async def _fail(self, context: Context, error: grpc.aio.AioRpcError) -> Never:
        if own := own_error(error, self._backend):
            raise own from error
        _add_trailing(context, error.trailing_metadata())
        await context.abort(error.code(), error.details() or "", context.trailing_metadata())


async def _each(requests: AsyncIterator[bytes], heard: Callable[[], None]) -> AsyncIterator[bytes]:
    async for request in requests:
        heard()
        yield request


async def _send_initial(context: Context, metadata: Iterable[tuple[str, str | bytes]]) -> None:
    if kept := travelling(metadata):
        await context.send_initial_metadata(kept)


def _add_trailing(context: Context, metadata: Iterable[tuple[str, str | bytes]]) -> None:
    if kept := travelling(metadata):
        context.set_trailing_metadata((*(context.trailing_metadata() or ()), *kept))
