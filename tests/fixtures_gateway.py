"""The real gateway in this process, in front of backends that do what a test tells them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
from google.api import annotations_pb2
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import CollectorRegistry

from gateway.backend_health import report_health
from gateway.backends import Backend, open_backends
from gateway.server import GatewayServer
from gateway.settings import GatewaySettings
from servicekit.channels import open_channel
from servicekit.server import Server
from servicekit.settings import ServiceSettings
from servicekit.streams import complete
from tests.fixtures_gateway_code import code_handlers
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from trimem.store.v1 import event_service_pb2, event_service_pb2_grpc

#: Guards against hanging; nothing here takes long.
PATIENCE = 30

#: A target at which nobody listens: port 1 is privileged and reserved.
NOWHERE = "127.0.0.1:1"

KINDS = "test.Kinds"
METHODS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")

Context = Any
Act = Callable[[Any, Context], Awaitable[Any]]


@dataclass
class Fake:
    """What a fake backend was asked, and what it does."""

    #: Makes the answer of any method from its request and context; an empty answer without it.
    act: Act | None = None
    #: Requests in order.
    requests: list[Any] = field(default_factory=list)
    #: Metadata of the last call.
    metadata: dict[str, str | bytes] = field(default_factory=dict)
    #: Seconds that the last call had, or None when it had no deadline.
    time_given: float | None = None
    #: Set when an import has its first message, and when it is over.
    on_stream: tuple[asyncio.Event, asyncio.Event] | None = None
    #: What an import waits for before it reads its second message.
    before_reading: asyncio.Event | None = None
    #: After how many messages an import fails, and how.
    fail_after: tuple[int, Exception] | None = None

    async def answer(self, request: Any, context: Context, default: Any) -> Any:
        """Note the call and act."""
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        self.time_given = context.time_remaining()
        return default if self.act is None else await self.act(request, context)


class FakeEvents(event_service_pb2_grpc.EventServiceServicer):
    """An EventService that gives `fake` all its calls."""

    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    async def CreateEvent(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, event_service_pb2.CreateEventResponse(event=request.event))

    async def BatchCreateEvents(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, event_service_pb2.BatchCreateEventsResponse())

    async def ImportEvents(self, request_iterator: Any, context: Any) -> Any:
        requests = [request async for request in self._imported(request_iterator, context)]
        count = sum(len(request.requests) for request in requests)
        answer = event_service_pb2.ImportEventsResponse(settled_count=count)
        return await self._fake.answer(requests, context, answer)

    async def _imported(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        fake, count = self._fake, 0
        try:
            async for request in complete(requests, context.cancelled):
                yield request
                count += 1
                if fake.on_stream:
                    fake.on_stream[0].set()
                if fake.before_reading:
                    await fake.before_reading.wait()
                if fake.fail_after and count >= fake.fail_after[0]:
                    raise fake.fail_after[1]
        finally:
            if fake.on_stream:
                fake.on_stream[1].set()

    async def UpdateEvent(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, event_service_pb2.UpdateEventResponse(event=request.event))

    async def DeleteEvent(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, event_service_pb2.DeleteEventResponse())

    async def GetEvent(self, request: Any, context: Any) -> Any:
        event = event_service_pb2.Event(id=request.id)
        return await self._fake.answer(request, context, event_service_pb2.GetEventResponse(event=event))

    async def ListEvents(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, event_service_pb2.ListEventsResponse())

    async def SearchEvents(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, event_service_pb2.SearchEventsResponse())


class FakeEmbedding(embedding_pb2_grpc.EmbeddingServiceServicer):
    """An EmbeddingService that gives `fake` all its calls."""

    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    async def Embed(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, embedding_pb2.EmbedResponse())

    async def ComputeSimilarity(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, embedding_pb2.ComputeSimilarityResponse())

    async def ListModels(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, embedding_pb2.ListModelsResponse())

    async def CountTokens(self, request: Any, context: Any) -> Any:
        return await self._fake.answer(request, context, embedding_pb2.CountTokensResponse())

    async def EmbedStream(self, request_iterator: Any, context: Any) -> Any:
        async for request in request_iterator:
            yield await self._fake.answer(request, context, embedding_pb2.EmbedStreamResponse(id=request.id))


@dataclass
class Rig:
    """A gateway that listens, and ways to reach it."""

    server: GatewayServer
    registry: CollectorRegistry
    #: gRPC channel to it.
    channel: grpc.aio.Channel
    #: HTTP client with its address as the base URL.
    http: aiohttp.ClientSession
    http_port: int
    #: The backends' servers by name.
    servers: dict[str, Server]
    backends: Sequence[Backend]
    grpc_port: int

    @property
    def events(self) -> Any:
        return event_service_pb2_grpc.EventServiceStub(self.channel)

    @property
    def embedding(self) -> Any:
        return embedding_pb2_grpc.EmbeddingServiceStub(self.channel)


def settings(**values: Any) -> GatewaySettings:
    """Settings that do not slow tests down and depend on no file."""
    values.setdefault("drain_delay_seconds", 0)
    return GatewaySettings(_env_file=None, **values)


@asynccontextmanager
async def backend_server(
    *services: str,
    add: Callable[[grpc.aio.Server], None] | None = None,
    handlers: Sequence[Any] = (),
    max_message_bytes: int = 16 * 1024 * 1024,
    port: int = 0,
) -> AsyncIterator[tuple[Server, str]]:
    """A real server for a fake backend, and its target."""
    server = Server(
        ServiceSettings(_env_file=None, drain_delay_seconds=0, grpc_max_message_bytes=max_message_bytes),
        CollectorRegistry(),
        services=services,
        handlers=handlers,
    )
    if add is not None:
        add(server.grpc)
    port = await server.start(port)
    await server.set_ready(True)
    try:
        yield server, f"127.0.0.1:{port}"
    finally:
        await server.grpc.stop(0)


@asynccontextmanager
async def gateway(*, store: Fake | None = None, embedder: Fake | None = None, **values: Any) -> AsyncIterator[Rig]:
    """The gateway in front of these backends; one that is not given is down."""
    async with AsyncExitStack() as stack:
        servers = {}
        if store is not None:
            servicer = FakeEvents(store)
            servers["store"], values["store_target"] = await stack.enter_async_context(
                backend_server(
                    add=lambda s: event_service_pb2_grpc.add_EventServiceServicer_to_server(servicer, s),
                    handlers=code_handlers(store),
                )
            )
        if embedder is not None:
            other = FakeEmbedding(embedder)
            servers["embedder"], values["embedder_target"] = await stack.enter_async_context(
                backend_server(add=lambda s: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(other, s))
            )
        chosen = settings(**{"store_target": NOWHERE, "embedder_target": NOWHERE, **values})
        backends = await stack.enter_async_context(open_backends(chosen))
        yield await stack.enter_async_context(_running(chosen, backends, servers))


@asynccontextmanager
async def kinds_gateway(handlers: grpc.GenericRpcHandler, **values: Any) -> AsyncIterator[Rig]:
    """The gateway in front of a backend with a service of all four kinds, KINDS."""
    async with (
        backend_server(KINDS, handlers=[handlers]) as (server, target),
        open_channel(target, (), max_message_bytes=1024 * 1024) as channel,
        _running(settings(**values), [Backend("kinds", (kinds_descriptor(),), channel)], {"kinds": server}) as rig,
    ):
        yield rig


@asynccontextmanager
async def _running(
    chosen: GatewaySettings, backends: Sequence[Backend], servers: dict[str, Server]
) -> AsyncIterator[Rig]:
    registry = CollectorRegistry()
    server = GatewayServer(chosen, registry, backends)
    port = await server.start(0)
    http_port = await server.http.start(0)
    health = asyncio.create_task(report_health(server, backends))
    try:
        async with (
            open_channel(f"127.0.0.1:{port}", (), max_message_bytes=-1) as channel,
            aiohttp.ClientSession(f"http://127.0.0.1:{http_port}") as http,
        ):
            yield Rig(server, registry, channel, http, http_port, servers, backends, port)
    finally:
        health.cancel()
        await asyncio.gather(health, return_exceptions=True)
        await server.drain()


def kinds_descriptor() -> ServiceDescriptor:
    """A service with a method of each kind; its messages do not matter, because nobody decodes them."""
    file = descriptor_pb2.FileDescriptorProto(name="test_kinds.proto", package="test", syntax="proto3")
    file.message_type.add(name="Anything")
    service = file.service.add(name="Kinds")
    for name in METHODS:
        method = service.method.add(
            name=name,
            input_type=".test.Anything",
            output_type=".test.Anything",
            client_streaming=name.startswith("Stream"),
            server_streaming=name.endswith("Stream"),
        )
        if name == "UnaryStream":  # none of our own is such a one
            method.options.Extensions[annotations_pb2.http].get = "/v1/kinds:download"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: ServiceDescriptor = pool.FindServiceByName(KINDS)
    return found


def kinds_handlers(act: Callable[[list[bytes], Context], Awaitable[list[bytes]]]) -> grpc.GenericRpcHandler:
    """Handlers of KINDS. Each reads all requests, then sends what `act` returns, or the last of it."""

    async def unary_unary(request: bytes, context: Context) -> bytes:
        return (await act([request], context))[-1]

    async def unary_stream(request: bytes, context: Context) -> AsyncIterator[bytes]:
        for answer in await act([request], context):
            yield answer

    async def stream_unary(requests: AsyncIterator[bytes], context: Context) -> bytes:
        return (await act([each async for each in requests], context))[-1]

    async def stream_stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        for answer in await act([each async for each in requests], context):
            yield answer

    handlers: dict[str, Any] = {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(unary_unary),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(unary_stream),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(stream_unary),
        "StreamStream": grpc.stream_stream_rpc_method_handler(stream_stream),
    }
    return grpc.method_handlers_generic_handler(KINDS, handlers)


def begin(channel: grpc.aio.Channel, method: str, requests: Any, **options: Any) -> Any:
    """Begin a call of a method of KINDS. `requests` are the messages, or an async iterator over them."""
    of_kind: dict[str, Any] = {
        "UnaryUnary": channel.unary_unary,
        "UnaryStream": channel.unary_stream,
        "StreamUnary": channel.stream_unary,
        "StreamStream": channel.stream_stream,
    }
    options.setdefault("timeout", PATIENCE)
    call = of_kind[method](f"/{KINDS}/{method}")
    return call(requests if method.startswith("Stream") else requests[0], **options)


async def finish(call: Any) -> list[bytes]:
    """All answers of a call. Raises AioRpcError."""
    return [each async for each in call] if hasattr(call, "__aiter__") else [await call]


async def within_patience(awaitable: Awaitable[Any]) -> Any:
    """Wait for something that must happen."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


def everything_class() -> type[Message]:
    """A message class with a field of every type."""
    kinds = descriptor_pb2.FieldDescriptorProto
    well_known = (
        "Timestamp",
        "Duration",
        "FieldMask",
        "Struct",
        "Value",
        "ListValue",
        "Int32Value",
        "BoolValue",
        "Any",
    )
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name="test_everything.proto", package="test", syntax="proto3")
    file.dependency.extend(
        f"google/protobuf/{name}.proto" for name in ("any", "duration", "field_mask", "struct", "timestamp", "wrappers")
    )
    colour = file.enum_type.add(name="Colour")
    for number, name in enumerate(("COLOUR_UNSPECIFIED", "COLOUR_RED", "COLOUR_BLUE")):
        colour.value.add(name=name, number=number)
    message = file.message_type.add(name="Everything")
    entry = message.nested_type.add(name="CountsEntry", options={"map_entry": True})
    for number, (name, kind) in enumerate((("key", kinds.TYPE_STRING), ("value", kinds.TYPE_INT32)), 1):
        entry.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    message.oneof_decl.add(name="choice")

    def add(name: str, kind: Any, type_name: str | None = None, *, repeated: bool = False, **options: Any) -> None:
        label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
        message.field.add(
            name=name, number=len(message.field) + 1, type=kind, label=label, type_name=type_name, **options
        )

    add("text", kinds.TYPE_STRING)
    add("raw", kinds.TYPE_BYTES)
    add("flag", kinds.TYPE_BOOL)
    for name in ("int32", "int64", "uint32", "uint64", "float", "double"):
        add(f"a_{name}", getattr(kinds, f"TYPE_{name.upper()}"))
    add("colour", kinds.TYPE_ENUM, ".test.Colour")
    add("many_numbers", kinds.TYPE_INT32, repeated=True)
    add("many_texts", kinds.TYPE_STRING, repeated=True)
    add("many_colours", kinds.TYPE_ENUM, ".test.Colour", repeated=True)
    add("nested", kinds.TYPE_MESSAGE, ".test.Everything")
    add("many_nested", kinds.TYPE_MESSAGE, ".test.Everything", repeated=True)
    add("counts", kinds.TYPE_MESSAGE, ".test.Everything.CountsEntry", repeated=True)
    add("one", kinds.TYPE_STRING, oneof_index=0)
    add("other", kinds.TYPE_INT32, oneof_index=0)
    for name in well_known:
        add(f"wkt_{name.lower()}", kinds.TYPE_MESSAGE, f".google.protobuf.{name}")
    add("many_structs", kinds.TYPE_MESSAGE, ".google.protobuf.Struct", repeated=True)
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("test.Everything"))
