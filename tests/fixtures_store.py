"""What the tests of the store share. Test modules make fixtures of the context managers."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import numpy as np
from google.protobuf.json_format import ParseDict
from prometheus_client import CollectorRegistry

from servicekit import context
from servicekit.errors import InternalError, InvalidArgumentError, TrimemError, UnavailableError
from servicekit.server import Server
from store import migrate
from store.database import Database
from store.events import EmbeddingSpace, EmbeddingState, EventFilter, NewEvent, SearchHit, Vector
from store.metrics import StoreMetrics
from store.repositories.search import Question, SearchRepository
from store.settings import StoreSettings
from store.use_cases.backfill import Backfill
from store.use_cases.cutter import Cutter
from store.use_cases.embedding import TextEmbedding
from store.use_cases.fusion import SearchMode, rank
from store.wiring import (
    Repositories,
    admin_servicer,
    code_servicer,
    event_servicer,
    open_code_embeddings,
    open_embedding,
)
from tests.code_files import ThreadCutter
from tests.conftest import NewDatabase
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from trimem.store.v1 import code_service_pb2_grpc as code_rpc
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc
from trimem.store.v1 import store_admin_pb2_grpc as admin_rpc

#: Length of the vectors in these tests.
DIMENSION = 32

EVENT_SERVICE = pb.DESCRIPTOR.services_by_name["EventService"]
EMBEDDING_SERVICE = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]

SPACE = EmbeddingSpace("test/model", "", DIMENSION, "f" * 64)
CODE_SPACE = EmbeddingSpace("test/code-model", "", DIMENSION, "c" * 64)
OTHER_SPACE = replace(SPACE, model_name="test/other-model", fingerprint="0" * 64)


def plan(url: str, dimension: int = DIMENSION) -> migrate.MigrationPlan:
    """How to migrate a test database."""
    return migrate.MigrationPlan(url=url, dimension=dimension)


async def migrated(url: str) -> str:
    """Bring a database to the newest schema and return its URL."""
    await asyncio.to_thread(migrate.upgrade, plan(url))
    return url


async def execute(url: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    """Run one statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement, *arguments))
    finally:
        await connection.close()


@asynccontextmanager
async def open_database(url: str, **options: Any) -> AsyncIterator[Database]:
    """A pool on a migrated database."""
    database = Database(url, min_size=1, max_size=8, **options)
    await database.facts()
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def text_vector(text: str) -> Vector:
    """A vector of length 1 that is alike for texts with common words."""
    vector = np.full(DIMENSION, 0.01, dtype=np.float32)
    for word in text.lower().split():
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % DIMENSION] += 1
        vector[digest[1] % DIMENSION] -= 1
    return vector / np.linalg.norm(vector)


def space_vector(space: EmbeddingSpace, text: str) -> Vector:
    """What the model of a space makes of a text: in each space something else, in SPACE `text_vector`."""
    vector = np.resize(text_vector(text), space.dimension)
    if space.fingerprint != SPACE.fingerprint:
        vector = np.random.default_rng(int(space.fingerprint[:8], 16)).permutation(vector)
        vector += np.abs(vector) / 2  # a permutation alone keeps similarities
    return vector / np.linalg.norm(vector)


def new_event(text: str = "something happened", **fields: Any) -> NewEvent:
    """An embedded event of SPACE; fields as of NewEvent."""
    event = NewEvent(
        id=uuid4(),
        timestamp=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        content={"text": text},
        metadata={},
        embedding_state=EmbeddingState.EMBEDDED,
        embedding=text_vector(text),
    )
    return replace(event, **fields)


def pending_event(text: str = "something happened", **fields: Any) -> NewEvent:
    """An event that waits for its embedding."""
    return new_event(text, embedding_state=EmbeddingState.PENDING, embedding=None, **fields)


async def nearest(
    search: SearchRepository, vector: Vector, space: EmbeddingSpace | None, matching: EventFilter, limit: int
) -> list[SearchHit]:
    """Hits of a search by a vector alone, nearest first."""
    candidates = await search.candidates(Question(vector=vector, space=space), matching, limit)
    ranked = rank(candidates, SearchMode.VECTOR).hits
    events = await search.events([one.id for one in ranked], matching)
    return [SearchHit(events[one.id], one.score, one.similarity, one.lexical_score) for one in ranked]


@dataclass
class FakeEmbedder(embedding_pb2_grpc.EmbeddingServiceServicer):
    """An embedder that does as it is told, behind real gRPC."""

    #: What it says that it runs.
    space: EmbeddingSpace = SPACE
    code_space: EmbeddingSpace = CODE_SPACE
    #: Raised by every call while set.
    trouble: TrimemError | None = None
    #: Texts that it refuses, and whether it says which.
    refused: set[str] = field(default_factory=set)
    names_refused: bool = True
    #: Texts that make a whole call fail.
    poison: set[str] = field(default_factory=set)
    #: Calls wait for it.
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    #: The inputs of each call.
    calls: list[list[str]] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    domains: list[int] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def EmbedStream(self, request_iterator: Any, context: Any) -> Any:
        raise NotImplementedError("the store does not use it")

    async def CountTokens(self, request: Any, context: Any) -> Any:
        raise NotImplementedError("the store does not use it")

    async def Embed(self, request: embedding_pb2.EmbedRequest, _context: Any) -> embedding_pb2.EmbedResponse:
        """See embedding.proto."""
        self.calls.append(list(request.inputs))
        self.kinds.append(request.kind)
        self.domains.append(request.domain)
        self.request_ids.append(context.request_id.get())
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        if self.poison & set(request.inputs):
            raise InternalError
        for index, text in enumerate(request.inputs):
            if text in self.refused:
                raise InvalidArgumentError(f"inputs[{index}]" if self.names_refused else "inputs", "is odd")
        is_code = request.domain == embedding_pb2.DOMAIN_CODE
        space = self.code_space if is_code else self.space
        vectors = [embedding_pb2.Vector(values=space_vector(space, text).tolist()) for text in request.inputs]
        return embedding_pb2.EmbedResponse(
            embeddings=[
                embedding_pb2.Embedding(code=vector, token_count=3)
                if is_code
                else embedding_pb2.Embedding(text=vector, token_count=3)
                for vector in vectors
            ],
            models=[
                embedding_pb2.ModelInfo(
                    domain=request.domain,
                    name=space.model_name,
                    revision=space.revision,
                    dimension=space.dimension,
                    fingerprint=space.fingerprint,
                )
            ],
        )

    async def ComputeSimilarity(self, request: Any, _context: Any) -> Any:
        """Not needed by the store."""
        raise NotImplementedError

    async def ListModels(self, request: Any, _context: Any) -> Any:
        """Not needed by the store."""
        raise NotImplementedError

    def inputs(self, domain: int) -> list[str]:
        """What a model has been asked, in all calls."""
        return [text for call, of in zip(self.calls, self.domains, strict=True) if of == domain for text in call]

    def go_down(self) -> None:
        """Answer UNAVAILABLE from now on."""
        self.trouble = UnavailableError("gone fishing")

    def come_back(self) -> None:
        """Answer again."""
        self.trouble = None


@dataclass
class StoreUnderTest:
    """A store that serves on a port of its own, its database, and the embedder that it uses."""

    stub: "rpc.EventServiceAsyncStub"
    code: "code_rpc.CodeServiceAsyncStub"
    admin: "admin_rpc.StoreAdminServiceAsyncStub"
    embedder: FakeEmbedder
    database_url: str
    repositories: Repositories
    embedding: TextEmbedding
    backfill: Backfill
    registry: CollectorRegistry
    #: Its address.
    target: str

    async def create(self, **event: Any) -> pb.Event:
        """CreateEvent; keywords as in the JSON of an Event, and request_id."""
        request_id = event.pop("request_id", "")
        return (await self.stub.CreateEvent(create_request(request_id=request_id, **event))).event

    async def rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database itself."""
        return await execute(self.database_url, statement, *arguments)


def create_request(request_id: str = "", **event: Any) -> pb.CreateEventRequest:
    """A CreateEventRequest; keywords as in the JSON of an Event."""
    return ParseDict({"event": event, "request_id": request_id}, pb.CreateEventRequest())


def store_settings(**options: Any) -> StoreSettings:
    """Settings of a store in a test: any free port, no pause before the end."""
    defaults: dict[str, Any] = {
        "database_url": "postgresql://nowhere/none",
        "embedding_dimension": DIMENSION,
        "drain_delay_seconds": 0,
        "shutdown_grace_seconds": 1,
        "environment": "test",
    }
    return StoreSettings(_env_file=None, **(defaults | options))


@asynccontextmanager
async def running(
    settings: StoreSettings, service: str, add: Callable[[grpc.aio.Server], None], port: int = 0
) -> AsyncIterator[int]:
    """A server of ours with one servicer, ready. Yields its port."""
    server = Server(settings, CollectorRegistry(), services=[service])
    add(server.grpc)
    bound = await server.start(port)
    await server.set_ready(True)
    try:
        yield bound
    finally:
        await server.drain()


StartStore = Callable[..., Awaitable[StoreUnderTest]]


@asynccontextmanager
async def fake_embedder(port: int = 0) -> AsyncIterator[tuple[FakeEmbedder, str]]:
    """A running fake embedder and its address."""
    servicer = FakeEmbedder()

    def add(server: grpc.aio.Server) -> None:
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server)

    async with running(store_settings(), EMBEDDING_SERVICE.full_name, add, port) as bound:
        yield servicer, f"127.0.0.1:{bound}"


@asynccontextmanager
async def stores(new_database: NewDatabase) -> AsyncIterator[StartStore]:
    """Starts stores with one fake embedder.

    Keywords are settings; `database_url` is that of a new database, migrated, unless it is given.
    """
    async with AsyncExitStack() as stack:
        servicer, target = await stack.enter_async_context(fake_embedder())

        async def start(*, cutter: Cutter | None = None, **options: Any) -> StoreUnderTest:
            url = options.pop("database_url", None) or await new_database(migrated=True)
            settings = store_settings(**({"database_url": url, "embedder_target": target} | options))
            database = await stack.enter_async_context(open_database(url))
            repositories = Repositories.of_postgres(database, settings.events_max_partitions)
            embedding = await stack.enter_async_context(open_embedding(settings, repositories.spaces))
            code_embeddings = await stack.enter_async_context(open_code_embeddings(settings, database))
            registry = CollectorRegistry()
            metrics = StoreMetrics(registry)
            serving = event_servicer(settings, repositories, embedding)
            code = code_servicer(settings, database, cutter or ThreadCutter(), code_embeddings, metrics)

            def add(server: grpc.aio.Server) -> None:
                rpc.add_EventServiceServicer_to_server(serving, server)
                code_rpc.add_CodeServiceServicer_to_server(code, server)
                admin_rpc.add_StoreAdminServiceServicer_to_server(admin_servicer(database, repositories), server)

            port = await stack.enter_async_context(running(settings, EVENT_SERVICE.full_name, add))
            client = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            return StoreUnderTest(
                rpc.EventServiceStub(client),
                code_rpc.CodeServiceStub(client),
                admin_rpc.StoreAdminServiceStub(client),
                servicer,
                url,
                repositories,
                embedding,
                Backfill(
                    repositories.outbox,
                    embedding,
                    metrics,
                    interval=settings.backfill_interval_seconds,
                    max_attempts=settings.embedding_max_attempts,
                ),
                registry,
                f"127.0.0.1:{port}",
            )

        yield start
