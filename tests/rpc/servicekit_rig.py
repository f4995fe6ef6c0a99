"""A server of ours with handlers of every kind, a way to call them, and what it logged."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.wrappers_pb2 import StringValue
from prometheus_client import CollectorRegistry

from servicekit.channels import open_channel
from servicekit.server import Server
from servicekit.settings import ServiceSettings
from servicekit.telemetry import configure_logging

SERVICE = "test.Kinds"

#: A method for each kind of handler, and for both ways to answer with a stream.
METHODS = ["UnaryUnary", "UnaryStream", "UnaryStreamWritten", "StreamUnary", "StreamStream"]
STREAMED_ANSWERS = ["UnaryStream", "UnaryStreamWritten", "StreamStream"]

#: Guards against hanging; nothing here takes long.
PATIENCE = 30

Act = Callable[[Any], Awaitable[str]]
Context = Any


def settings(**values: Any) -> ServiceSettings:
    """Settings that do not slow tests down and depend on no file."""
    values.setdefault("drain_delay_seconds", 0)
    values.setdefault("shutdown_grace_seconds", 0)
    return ServiceSettings(_env_file=None, **values)


def kinds(act: Act) -> grpc.GenericRpcHandler:
    """Handlers of METHODS. Each awaits `act(context)` for its answer; streams say "first" before that."""

    async def unary_unary(_request: StringValue, context: Context) -> StringValue:
        return StringValue(value=await act(context))

    async def unary_stream(_request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        yield StringValue(value="first")
        yield StringValue(value=await act(context))

    async def unary_stream_written(_request: StringValue, context: Context) -> None:
        await context.write(StringValue(value="first"))
        await context.write(StringValue(value=await act(context)))

    async def stream_unary(requests: AsyncIterator[StringValue], context: Context) -> StringValue:
        async for _ in requests:
            pass
        return StringValue(value=await act(context))

    async def stream_stream(requests: AsyncIterator[StringValue], context: Context) -> AsyncIterator[StringValue]:
        async for _ in requests:
            yield StringValue(value="first")
        yield StringValue(value=await act(context))

    coders: Any = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    made: dict[str, Any] = {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(unary_unary, **coders),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(unary_stream, **coders),
        "UnaryStreamWritten": grpc.unary_stream_rpc_method_handler(unary_stream_written, **coders),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(stream_unary, **coders),
        "StreamStream": grpc.stream_stream_rpc_method_handler(stream_stream, **coders),
    }
    return grpc.method_handlers_generic_handler(SERVICE, made)


@dataclass
class Running:
    """A server that listens."""

    server: Server
    registry: CollectorRegistry
    port: int
    _channels: list[grpc.aio.Channel] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def channel(self, services: Iterable[ServiceDescriptor] = ()) -> grpc.aio.Channel:
        """A channel of ours to it, closed with the server."""
        channel = open_channel(self.target, services, max_message_bytes=64 * 1024 * 1024)
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        await self.server.grpc.stop(0)

    def finished(self, method: str, code: str) -> float:
        """How many calls of a method of SERVICE the metrics count with this code."""
        labels = {"method": f"/{SERVICE}/{method}", "code": code, "key": ""}
        return self.registry.get_sample_value("trimem_rpc_seconds_count", labels) or 0

    def in_flight(self, method: str) -> float | None:
        return self.registry.get_sample_value("trimem_rpc_in_flight", {"method": f"/{SERVICE}/{method}"})


@asynccontextmanager
async def serve(
    *handlers: grpc.GenericRpcHandler,
    services: Sequence[str] = (SERVICE,),
    add: Callable[[grpc.aio.Server], None] | None = None,
    ready: bool = True,
    **values: Any,
) -> AsyncIterator[Running]:
    """Run a server with these handlers, and with the servicers that `add` registers."""
    registry = CollectorRegistry()
    server = Server(settings(**values), registry, services=services, handlers=handlers)
    if add is not None:
        add(server.grpc)
    running = Running(server, registry, await server.start(0))
    try:
        if ready:
            await server.set_ready(True)
        yield running
    finally:
        await running.close()


@dataclass(frozen=True)
class Answer:
    """How a call ended, as its caller sees it."""

    messages: list[str]
    code: grpc.StatusCode
    details: str
    trailing: list[tuple[str, str | bytes]]
    error: grpc.aio.AioRpcError | None

    def trailing_value(self, key: str) -> str | bytes:
        """The one value of a key of the trailing metadata."""
        (value,) = [value for name, value in self.trailing if name == key]
        return value


def begin(channel: grpc.aio.Channel, method: str, *requests: StringValue, **options: Any) -> Any:
    """Begin a call of one of METHODS and return the call object."""
    of_kind: dict[str, Any] = {
        "UnaryUnary": channel.unary_unary,
        "StreamUnary": channel.stream_unary,
        "StreamStream": channel.stream_stream,
    }
    multi = of_kind.get(method, channel.unary_stream)(
        f"/{SERVICE}/{method}",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )
    sent = requests or (StringValue(value="hello"),)
    return multi(sent if method.startswith("Stream") else sent[0], **options)


async def finish(call: Any) -> Answer:
    """Read a call to its end."""
    messages: list[str] = []
    error: grpc.aio.AioRpcError | None = None
    try:
        if hasattr(call, "__aiter__"):
            async for message in call:
                messages.append(message.value)  # noqa: PERF401 - those before an error count
        else:
            messages.append((await call).value)
    except grpc.aio.AioRpcError as raised:
        error = raised
    return Answer(
        messages=messages,
        code=await call.code(),
        details=await call.details() or "",
        trailing=list(await call.trailing_metadata() or ()),
        error=error,
    )


async def ask(channel: grpc.aio.Channel, method: str, *requests: StringValue, **options: Any) -> Answer:
    """Call one of METHODS and read the answer to its end."""
    async with asyncio.timeout(PATIENCE):
        return await finish(begin(channel, method, *requests, **options))


async def ask_path(channel: Any, path: str) -> Answer:
    """Call any unary method with an empty message."""
    return await finish(channel.unary_unary(path)(b"", timeout=PATIENCE))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the server does after the caller has its answer: log, count."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


class Logged:
    """What was logged since logging was configured."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def access(self, method: str) -> list[dict[str, Any]]:
        """Lines of the access log for a method of SERVICE."""
        return [line for line in self.lines if line["event"] == "rpc" and line["method"] == f"/{SERVICE}/{method}"]


@contextmanager
def logging_configured(**values: Any) -> Iterator[Logged]:
    """Configure logging as a service does, catch what it writes, and put everything back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logged = Logged()
    try:
        configure_logging("test", settings(**values))
        (handler,) = root.handlers
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(logged.stream)
        yield logged
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
