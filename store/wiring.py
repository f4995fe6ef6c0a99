"""Which parts make a store."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import structlog

from servicekit.channels import open_channel
from servicekit.jitter import jittered
from store import migrate, schema
from store.database import Database
from store.embedder_client import GrpcEmbedder
from store.errors import CodeDimensionError, DatabaseUnavailableError, EmbeddingDimensionError
from store.metrics import StoreMetrics
from store.repositories.events import EventRepository
from store.repositories.memory import MemoryData, MemoryEvents, MemorySpaces
from store.repositories.memory_outbox import MemoryOutbox
from store.repositories.memory_search import MemorySearch
from store.repositories.outbox import Outbox
from store.repositories.postgres.code import PostgresCode
from store.repositories.postgres.code_search import PostgresCodeSearch
from store.repositories.postgres.code_spaces import PostgresCodeSpace
from store.repositories.postgres.events import PostgresEvents
from store.repositories.postgres.graph import PostgresGraph
from store.repositories.postgres.outbox import PostgresOutbox
from store.repositories.postgres.partitions import MOST, PostgresPartitions
from store.repositories.postgres.search import PostgresSearch
from store.repositories.postgres.spaces import PostgresSpaces
from store.repositories.postgres.status import PostgresStatus
from store.repositories.search import SearchRepository
from store.repositories.spaces import RecordedSpace, SpaceRepository
from store.servicers.code_servicer import CodeServicer, CodeUseCases
from store.servicers.event_servicer import EventServicer, EventUseCases
from store.servicers.graph_servicer import GraphServicer, GraphUseCases
from store.servicers.store_admin_servicer import StoreAdminServicer
from store.settings import StoreSettings
from store.spaces import CODE_COLUMN, CODE_TEXT_COLUMN
from store.use_cases.administer import Administer
from store.use_cases.code_listing import DeleteRepository, GetChunk, ListFiles, ListRepositories
from store.use_cases.create_events import CreateEvents
from store.use_cases.cutter import Cutter
from store.use_cases.delete_event import DeleteEvent
from store.use_cases.embed_code import EmbedCode
from store.use_cases.embed_events import EmbedEvents
from store.use_cases.embedder import ModelDomain
from store.use_cases.embedding import TextEmbedding
from store.use_cases.get_event import GetEvent
from store.use_cases.import_events import ImportEvents
from store.use_cases.index_files import IndexFiles
from store.use_cases.indexing_room import IndexingRoom
from store.use_cases.list_events import ListEvents
from store.use_cases.search_code import SearchCode
from store.use_cases.search_events import SearchEvents
from store.use_cases.update_event import UpdateEvent
from trimem.embedding.v1 import embedding_pb2

#: After which a database that went away while we connected is tried again.
_AGAIN_SECONDS = 0.5

_EMBEDDING_SERVICE = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]


@dataclass(frozen=True, slots=True)
class Repositories:
    """Where a store keeps things."""

    events: EventRepository
    search: SearchRepository
    outbox: Outbox
    spaces: SpaceRepository

    @classmethod
    def of_postgres(cls, database: Database, most_partitions: int = MOST) -> Self:
        """Those of a running store."""
        events = PostgresEvents(database, PostgresPartitions(database, most_partitions))
        return cls(events, PostgresSearch(database), PostgresOutbox(database), PostgresSpaces(database))

    @classmethod
    def of_memory(cls) -> Self:
        """Fakes for tests, that share what they keep."""
        data = MemoryData()
        return cls(MemoryEvents(data), MemorySearch(data), MemoryOutbox(data), MemorySpaces(data))


@dataclass(frozen=True, slots=True)
class CodeEmbeddings:
    """What embeds code: both models, each for the column that its vectors are in."""

    text: TextEmbedding
    code: TextEmbedding


def event_servicer(settings: StoreSettings, repositories: Repositories, embedding: TextEmbedding) -> EventServicer:
    """The use cases of EventService, wired."""
    embed = EmbedEvents(
        embedding,
        repositories.spaces,
        settings.embedding_fail_strategy,
        automatic=settings.embedding_auto_generate,
    )
    create = CreateEvents(repositories.events, embed, settings.events_retention_months)
    return EventServicer(
        EventUseCases(
            create=create,
            importing=ImportEvents(create),
            update=UpdateEvent(repositories.events, embed),
            delete=DeleteEvent(repositories.events),
            get=GetEvent(repositories.events),
            listing=ListEvents(repositories.events),
            search=SearchEvents(repositories.search, embedding),
        )
    )


def code_servicer(
    settings: StoreSettings, database: Database, cutter: Cutter, embeddings: CodeEmbeddings, metrics: StoreMetrics
) -> CodeServicer:
    """The use cases of CodeService, wired."""
    code, graph = PostgresCode(database), PostgresGraph(database)
    room = IndexingRoom(settings.code_max_indexings)
    return CodeServicer(
        CodeUseCases(
            index=IndexFiles(
                code,
                graph,
                cutter,
                EmbedCode(embeddings.text, embeddings.code),
                metrics,
                room=room,
                most_bytes=settings.code_max_file_bytes,
            ),
            delete=DeleteRepository(code, graph, room),
            repositories=ListRepositories(code),
            files=ListFiles(code),
            chunk=GetChunk(code),
            search=SearchCode(PostgresCodeSearch(database), embeddings.text, embeddings.code),
        )
    )


def graph_servicer(database: Database) -> GraphServicer:
    """The use cases of GraphService, wired."""
    return GraphServicer(GraphUseCases.on(PostgresGraph(database)))


def admin_servicer(database: Database, repositories: Repositories) -> StoreAdminServicer:
    """The use case of StoreAdminService, wired."""
    return StoreAdminServicer(Administer(PostgresStatus(database), repositories.outbox))


def new_database(settings: StoreSettings) -> Database:
    """The database of the settings, not opened."""
    return Database(
        settings.database_url.get_secret_value(),
        min_size=settings.database_pool_min_size,
        max_size=settings.database_pool_max_size,
        acquire_timeout=settings.database_acquire_timeout_seconds,
    )


async def open_database(database: Database, settings: StoreSettings) -> None:
    """Wait for the database, see that it is what this version needs, and connect."""
    deadline = time.monotonic() + settings.database_start_timeout_seconds
    facts = await database.facts(wait=settings.database_start_timeout_seconds)
    schema.require_schema(facts, head=migrate.head(), dimension=settings.embedding_dimension)
    for warning in (schema.pgvector_warning(facts), schema.dimension_warning(facts, settings.embedding_dimension)):
        if warning:
            structlog.get_logger("store").warning("schema", problem=warning)
    while True:
        try:
            return await database.open()
        except DatabaseUnavailableError:  # it may go away as soon as it has answered
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(jittered(_AGAIN_SECONDS))


@contextlib.asynccontextmanager
async def operators_database(settings: StoreSettings, *, most_connections: int) -> AsyncIterator[Database]:
    """The database for a command of operators: no waiting for one that is down, vectors of any length."""
    database = Database(settings.database_url.get_secret_value(), min_size=1, max_size=most_connections)
    facts = await database.facts()
    schema.require_schema(facts, head=migrate.head(), dimension=facts.dimension or settings.embedding_dimension)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def open_embedder(
    settings: StoreSettings, target: str, domain: ModelDomain = ModelDomain.TEXT
) -> AsyncIterator[GrpcEmbedder]:
    """An embedder. Connects on the first call."""
    async with open_channel(
        target,
        [_EMBEDDING_SERVICE],
        max_message_bytes=settings.grpc_max_message_bytes,
        tls=settings.channel_files(),
    ) as channel:
        yield GrpcEmbedder(channel, settings.embedder_timeout_seconds, domain)


@contextlib.asynccontextmanager
async def open_embedding(
    settings: StoreSettings,
    spaces: RecordedSpace,
    domain: ModelDomain = ModelDomain.TEXT,
    wrong_dimension: type[EmbeddingDimensionError] = EmbeddingDimensionError,
) -> AsyncIterator[TextEmbedding]:
    """The embedders of the settings."""
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_embedder(settings, settings.embedder_target, domain))
        second = None
        if settings.embedder_next_target:
            second = await stack.enter_async_context(open_embedder(settings, settings.embedder_next_target, domain))
        yield TextEmbedding(
            first,
            settings.embedding_dimension,
            next_embedder=second,
            spaces=spaces,
            wrong_dimension=wrong_dimension,
        )


@contextlib.asynccontextmanager
async def open_code_embeddings(settings: StoreSettings, database: Database) -> AsyncIterator[CodeEmbeddings]:
    """The embedders of the settings, for code. Its vectors may be of another TEXT model than those of events."""
    text_space, code_space = (PostgresCodeSpace(database, column) for column in (CODE_TEXT_COLUMN, CODE_COLUMN))
    async with (
        open_embedding(settings, text_space, ModelDomain.TEXT, CodeDimensionError) as text,
        open_embedding(settings, code_space, ModelDomain.CODE, CodeDimensionError) as code,
    ):
        yield CodeEmbeddings(text, code)
