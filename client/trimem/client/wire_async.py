"""Sending calls with grpc.aio. `wire_sync` has the same functions for grpc."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from trimem.client.connection import OPTIONS, Connection

T = TypeVar("T")

Source: TypeAlias = AsyncIterable[T] | Iterable[T]
Channel: TypeAlias = grpc.aio.Channel

sleep = asyncio.sleep

_WRITE_FAILED = "Internal error from Core"


def open_channel(to: Connection) -> Channel:
    """A channel that connects with the first call. Raises RuntimeError outside of an event loop."""
    asyncio.get_running_loop()  # gRPC would take another loop than the one that is run later, and hang in it
    if to.credentials is None:
        return grpc.aio.insecure_channel(to.target, options=OPTIONS)
    return grpc.aio.secure_channel(to.target, to.credentials, options=OPTIONS)


def begin(method: Any, request: Message | Iterable[Message], **options: Any) -> Any:
    """Send a call without waiting for its answer."""
    return method(request, **options)


async def answer(call: Any, *, is_stream: bool) -> Any:
    """The answer of a call; the list of the answers of a stream. Raises grpc.RpcError."""
    try:
        return [one async for one in call] if is_stream else await call
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise _failure(grpc.StatusCode.CANCELLED, "the client was closed") from None
    except grpc.aio.AioRpcError as error:
        if error.details() != _WRITE_FAILED:
            raise
        # grpc.aio puts this in the place of the server's status when the stream ended while we were writing:
        # https://github.com/grpc/grpc/issues/36066. Another attempt tells what the server has against it.
        raise _failure(grpc.StatusCode.UNAVAILABLE, "the server ended the stream before it was written") from None


async def each(source: Source[T]) -> AsyncIterator[T]:
    """What a source gives, one by one."""
    if isinstance(source, AsyncIterable):
        async for one in source:
            yield one
    else:
        for one in source:
            yield one


def _failure(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
