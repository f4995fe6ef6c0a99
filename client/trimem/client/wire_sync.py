"""Sending calls with grpc. `wire_async` has the same functions for grpc.aio."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from trimem.client.connection import OPTIONS, Connection

T = TypeVar("T")

Source: TypeAlias = Iterable[T]
Channel: TypeAlias = grpc.Channel

sleep = time.sleep


def open_channel(to: Connection) -> Channel:
    """A channel that connects with the first call."""
    if to.credentials is None:
        return grpc.insecure_channel(to.target, options=OPTIONS)
    return grpc.secure_channel(to.target, to.credentials, options=OPTIONS)


def begin(method: Any, request: Message | Iterable[Message], **options: Any) -> Any:
    """Send a call without waiting for its answer."""
    # Not `method(request)`, which waits for its answer: a future lets the next call be under way meanwhile. Methods
    # that answer with a stream have none, and do not wait.
    send = getattr(method, "future", method)
    return send(request if isinstance(request, Message) else iter(request), **options)


def answer(call: Any, *, is_stream: bool) -> Any:
    """The answer of a call; the list of the answers of a stream. Raises grpc.RpcError."""
    try:
        return list(call) if is_stream else call.result()
    except grpc.FutureCancelledError:  # the client was closed; the call is an RpcError itself
        raise call from None


def each(source: Source[T]) -> Iterator[T]:
    """What a source gives, one by one."""
    return iter(source)
