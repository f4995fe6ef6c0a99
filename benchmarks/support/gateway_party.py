"""Everything that a call through the gateway passes, for its benchmark: all parts real but the model."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from benchmarks.support.bystanders import Bystanders
from benchmarks.support.children import Child, child, server
from benchmarks.support.gateway_load import Way
from deploy.local.postgres import running_postgres
from store import migrate
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc

DIRECT, BARE, GATEWAY, GATEWAY_HTTP = "direct", "bare proxy", "gateway", "gateway, JSON"

_EVENTS = 1_000
_DIMENSION = 384
_WORDS = ("harbour", "lantern", "meadow", "kettle", "signal", "orchard", "window", "copper", "violin", "garden")
STORE = pb.DESCRIPTOR.services_by_name["EventService"].full_name
EMBEDDING = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name


@dataclass(frozen=True, slots=True)
class GatewayParty:
    """The parts, and what to ask of them."""

    #: Address of each party, by the service that is asked.
    addresses: dict[str, dict[str, str]]
    http: str
    load: Child
    bystanders: Bystanders
    #: Ids of stored events.
    event_ids: list[str]
    #: A vector that is near some events.
    vector: list[float]

    def grpc_ways(self, service: str, method: str, body: bytes) -> list[Way]:
        """The same call by all who speak gRPC."""
        return [
            Way(party, address, f"/{service}/{method}", b64encode(body).decode())
            for party, address in self.addresses[service].items()
        ]

    def http_way(self, path: str, body: bytes = b"") -> Way:
        """A call as an HTTP request; a GET without a body."""
        return Way(GATEWAY_HTTP, self.http, path, b64encode(body).decode())


@asynccontextmanager
async def gateway_party(folder: Path) -> AsyncIterator[GatewayParty]:
    """PostgreSQL, store, embedder with the mock, the gateway with default settings, and a bare proxy beside it."""
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(running_postgres(folder, forward=lambda _name, _line: None))
        url = await local.create_database("gateway")
        await asyncio.to_thread(migrate.upgrade, migrate.MigrationPlan(url=url, dimension=_DIMENSION))
        dimensions = {"EMBEDDING_DIMENSION": str(_DIMENSION), "CODE_EMBEDDING_DIMENSION": str(_DIMENSION)}
        embedder = await stack.enter_async_context(server("embedder", EMBEDDING_MODE="mock", **dimensions))
        store = await stack.enter_async_context(
            server("store", DATABASE_URL=url, EMBEDDER_TARGET=embedder.address, **dimensions)
        )
        gateway = await stack.enter_async_context(
            server("gateway", 2, EMBEDDER_TARGET=embedder.address, STORE_TARGET=store.address)
        )
        targets = f"{STORE}={store.address},{EMBEDDING}={embedder.address}"
        bare = await stack.enter_async_context(server("benchmarks.support.bare_proxy", PROXY_TARGETS=targets))
        load = await stack.enter_async_context(child("benchmarks.support.gateway_load"))
        event_ids, vector = await _filled(gateway.address)
        pids = [part.pid for part in (embedder, store, gateway, bare, load)]
        yield GatewayParty(
            {
                service: {DIRECT: backend.address, BARE: bare.address, GATEWAY: gateway.address}
                for service, backend in ((STORE, store), (EMBEDDING, embedder))
            },
            f"http://{gateway.addresses[1]}",
            load,
            Bystanders(pids),
            event_ids,
            vector,
        )


async def _filled(gateway: str) -> tuple[list[str], list[float]]:
    """Store events, and return their ids with a vector that is near some of them."""
    async with grpc.aio.insecure_channel(gateway) as channel:
        events: event_service_pb2_grpc.EventServiceAsyncStub = event_service_pb2_grpc.EventServiceStub(channel)
        embedding: embedding_pb2_grpc.EmbeddingServiceAsyncStub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        request = pb.BatchCreateEventsRequest()
        for number in range(_EVENTS):
            request.requests.add().event.content.update({"text": text_of(number)})
        created = await events.BatchCreateEvents(request, timeout=120)
        embedded = await embedding.Embed(embedding_pb2.EmbedRequest(inputs=[text_of(7)]), timeout=30)
        return [one.event.id for one in created.results], list(embedded.embeddings[0].text.values)


def text_of(number: int) -> str:
    """The text of an event."""
    words = [f"{_WORDS[(number * step + number // 7) % len(_WORDS)]}{number % 50}" for step in (1, 5, 7, 11)]
    return f"{number}: {' '.join(words)}"
