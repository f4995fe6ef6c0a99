"""Which services the gateway gives access to, and where they are."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from gateway.settings import GatewaySettings
from servicekit.channels import open_channel
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import code_service_pb2, event_service_pb2, graph_service_pb2


@dataclass(frozen=True, slots=True)
class Backend:
    """A service process behind the gateway."""

    #: What callers know it by, in messages and in `GET /health`.
    name: str
    #: What of it is public. Its other services, the administrative ones, cannot be reached through the gateway.
    services: tuple[ServiceDescriptor, ...]
    channel: grpc.aio.Channel


@asynccontextmanager
async def open_backends(settings: GatewaySettings) -> AsyncIterator[tuple[Backend, ...]]:
    """The embedder and the store. Connects on the first call, so that the parts can start in any order."""
    embedding = embedding_pb2.DESCRIPTOR.services_by_name
    events = event_service_pb2.DESCRIPTOR.services_by_name
    code = code_service_pb2.DESCRIPTOR.services_by_name
    graph = graph_service_pb2.DESCRIPTOR.services_by_name
    places = (
        ("embedder", settings.embedder_target, (embedding["EmbeddingService"],)),
        (
            "store",
            settings.store_target,
            (events["EventService"], code["CodeService"], graph["GraphService"]),
        ),
    )
    async with AsyncExitStack() as stack:
        yield tuple(
            [
                Backend(
                    name,
                    services,
                    await stack.enter_async_context(
                        # A batch of events comes back with ids and times, larger than it was sent.
                        open_channel(
                            target,
                            services,
                            max_message_bytes=2 * settings.grpc_max_message_bytes,
                            tls=settings.channel_files(),
                        )
                    ),
                )
                for name, target, services in places
            ]
        )
