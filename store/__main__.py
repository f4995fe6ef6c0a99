"""`python -m store`, and its commands `migrate` and `adopt-space`: the wiring."""

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial

import structlog

from servicekit.channels import open_channel
from servicekit.main import main
from servicekit.server import Server, run_until_signal
from servicekit.telemetry import metrics_exporter, new_registry
from store import migrate, schema
from store.database import Database
from store.embedder_client import GrpcEmbedder
from store.health import DatabaseWatcher
from store.metrics import StoreMetrics
from store.repositories.postgres.spaces import PostgresSpaces
from store.settings import StoreSettings
from store.use_cases.adopt_space import AdoptSpace
from store.use_cases.backfill import Backfill
from store.use_cases.embedding import TextEmbedding
from store.wiring import Repositories, event_servicer
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2, event_service_pb2_grpc

_SERVICE = event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name
_EMBEDDING_SERVICE = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]


async def serve(settings: StoreSettings) -> None:
    """Serve until a signal comes."""
    registry = new_registry()
    metrics = StoreMetrics(registry)
    database = _database(settings)
    repositories = Repositories.of_postgres(database)
    server = Server(settings, registry, services=[_SERVICE])
    async with _embedding(settings) as embedding, contextlib.AsyncExitStack() as tasks:
        automatic = embedding if settings.embedding_auto_generate else None
        servicer = event_servicer(settings, repositories, embedding)
        event_service_pb2_grpc.add_EventServiceServicer_to_server(servicer, server.grpc)

        async def start() -> None:
            await _open(database, settings)
            tasks.push_async_callback(
                _cancelled, asyncio.create_task(DatabaseWatcher(database, server.set_ready).run())
            )
            if automatic is not None:
                backfill = Backfill(repositories.outbox, automatic, metrics, settings.backfill_interval_seconds)
                tasks.push_async_callback(_cancelled, asyncio.create_task(backfill.run()))

        tasks.push_async_callback(database.close)
        with metrics_exporter(registry, address=settings.bind_address, port=settings.store_metrics_port):
            await run_until_signal(server, settings.store_port, on_start=start)


async def run_migrate(options: argparse.Namespace, settings: StoreSettings) -> None:
    """Migrate, check, or print the statements."""
    plan = migrate.MigrationPlan(
        url=settings.database_url.get_secret_value(),
        dimension=settings.embedding_dimension,
        lock_timeout=settings.migration_lock_timeout_seconds,
        statement_timeout=settings.migration_statement_timeout_seconds,
    )
    if not options.sql:
        await _database(settings).facts(wait=settings.database_start_timeout_seconds)
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    # In a thread, because Alembic's async environment runs an event loop of its own.
    if options.check:
        await asyncio.to_thread(migrate.check, plan)
    elif options.down:
        await asyncio.to_thread(migrate.downgrade, plan, options.revision)
    else:
        await asyncio.to_thread(migrate.upgrade, plan, options.revision, sql=options.sql)


async def run_adopt_space(options: argparse.Namespace, settings: StoreSettings) -> None:
    """Record the embedder's TEXT model as the one that made the stored vectors."""
    database = _database(settings)
    try:
        await _open(database, settings)
        async with _embedding(settings) as embedding:
            adoption = await AdoptSpace(PostgresSpaces(database), embedding).run(force=options.force)
    finally:
        await database.close()
    if not adoption.is_new:
        print(f"recorded already: {adoption.space.describe()}")  # noqa: T201
        return
    compared = (
        f"{adoption.compared} vectors compared, median cosine {adoption.median:.4f}"
        if adoption.compared
        else "no vectors compared"
    )
    print(f"recorded: {adoption.space.describe()}; {compared}")  # noqa: T201


async def _open(database: Database, settings: StoreSettings) -> None:
    """Wait for the database, see that it is what this version needs, and connect."""
    facts = await database.facts(wait=settings.database_start_timeout_seconds)
    schema.require_schema(facts, head=migrate.head(), dimension=settings.embedding_dimension)
    if warning := schema.pgvector_warning(facts):
        structlog.get_logger("store").warning("pgvector", problem=warning)
    await database.open()


def _database(settings: StoreSettings) -> Database:
    return Database(
        settings.database_url.get_secret_value(),
        min_size=settings.database_pool_min_size,
        max_size=settings.database_pool_max_size,
        acquire_timeout=settings.database_acquire_timeout_seconds,
    )


@contextlib.asynccontextmanager
async def _embedding(settings: StoreSettings) -> AsyncIterator[TextEmbedding]:
    async with open_channel(
        settings.embedder_target, [_EMBEDDING_SERVICE], max_message_bytes=settings.grpc_max_message_bytes
    ) as channel:
        yield TextEmbedding(GrpcEmbedder(channel, settings.embedder_timeout_seconds), settings.embedding_dimension)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


def run(argv: Sequence[str]) -> int:
    """Run the service or one of its commands, and return the exit code of the process."""
    if argv[:1] == ["migrate"]:
        parser = _migrate_parser()
        options = parser.parse_args(argv[1:])
        if options.down and (options.check or options.sql):
            parser.error("--down changes the database, --check and --sql do not: give one of them")
        return main("store", StoreSettings, partial(run_migrate, options), [])
    if argv[:1] == ["adopt-space"]:
        options = _adopt_space_parser().parse_args(argv[1:])
        return main("store", StoreSettings, partial(run_adopt_space, options), [])
    if {"-h", "--help"} & set(argv):
        print("commands: migrate, adopt-space; `python -m store COMMAND --help` describes one\n")  # noqa: T201
    return main("store", StoreSettings, serve, argv)


def _migrate_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m store migrate", description="Bring the database of DATABASE_URL to a revision of the schema."
    )
    parser.add_argument("--revision", default="head", help="revision to migrate to [default: head]")
    parser.add_argument("--down", action="store_true", help="go down to --revision instead of up")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="change nothing; fail unless the schema is the newest")
    how.add_argument("--sql", action="store_true", help="change nothing; print the statements for an empty database")
    return parser


def _adopt_space_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m store adopt-space",
        description="Record the embedder's TEXT model as the one that made vectors from before Trimem. Up to 20 of "
        "them are compared with new ones of the same texts first.",
    )
    parser.add_argument("--force", action="store_true", help="record the model even if the vectors are not alike")
    return parser


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
