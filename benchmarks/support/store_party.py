"""A database with a store in front of it, and one without, for the benchmark of the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc

from benchmarks.support.children import server
from benchmarks.support.store_rows import Rows
from deploy.local.postgres import LocalPostgres
from store import migrate
from store.database import Database
from store.repositories.postgres.partitions import PostgresPartitions
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from trimem.store.v1 import event_service_pb2_grpc

_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


@dataclass(frozen=True, slots=True)
class StoreParty:
    """A running store, and the way past it."""

    stub: "event_service_pb2_grpc.EventServiceAsyncStub"
    #: Of the model that the vectors are said to be of.
    fingerprint: str
    database: Database


@asynccontextmanager
async def database_of(local: LocalPostgres, name: str, rows: Rows) -> AsyncIterator[Database]:
    """A migrated database with the partitions that the rows need."""
    url = await local.create_database(name)
    dimension = rows.vectors.shape[1]
    await asyncio.to_thread(migrate.upgrade, migrate.MigrationPlan(url=url, dimension=dimension))
    database = Database(url, min_size=1, max_size=4)
    await database.facts()
    await database.open()
    try:
        await PostgresPartitions(database).ensure([rows.timestamp(number) for number in range(12)])
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def store_of(local: LocalPostgres, name: str, rows: Rows) -> AsyncIterator[StoreParty]:
    """A store with default settings on a database of its own. Its embedder is the mock: vectors are given."""
    dimension = str(rows.vectors.shape[1])
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(database_of(local, name, rows))
        embedder = await stack.enter_async_context(
            server(
                "embedder",
                EMBEDDING_MODE="mock",
                EMBEDDING_DIMENSION=dimension,
                CODE_EMBEDDING_DIMENSION=dimension,
            )
        )
        store = await stack.enter_async_context(
            server(
                "store",
                DATABASE_URL=local.url(name),
                EMBEDDER_TARGET=embedder.address,
                EMBEDDING_DIMENSION=dimension,
            )
        )
        beside = await stack.enter_async_context(grpc.aio.insecure_channel(embedder.address))
        embedding: embedding_pb2_grpc.EmbeddingServiceAsyncStub = embedding_pb2_grpc.EmbeddingServiceStub(beside)
        models = await embedding.ListModels(embedding_pb2.ListModelsRequest(), wait_for_ready=True, timeout=30)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(store.address, options=_OPTIONS))
        yield StoreParty(event_service_pb2_grpc.EventServiceStub(channel), models.models[0].fingerprint, database)
