"""`python -m store` and its commands: the wiring of the service."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from functools import partial

from servicekit import tasks
from servicekit.main import main
from servicekit.metrics_server import metrics_exporter
from servicekit.server import Server, run_until_signal
from servicekit.telemetry import new_registry
from store import command_line, commands
from store.cutting_processes import CuttingProcesses
from store.forget_code_command import run_forget_code
from store.health import DatabaseWatcher
from store.metrics import StoreMetrics
from store.reembed_command import run_reembed
from store.repositories.postgres.lexical import PostgresLexical
from store.repositories.postgres.partitions import PostgresPartitions
from store.repositories.postgres.words import PostgresWords
from store.settings import StoreSettings
from store.use_cases.backfill import Backfill
from store.use_cases.fill_words import FillWords
from store.use_cases.fold_words import FoldWords
from store.use_cases.observe_backlog import ObserveBacklog
from store.use_cases.upkeep import Upkeep
from store.wiring import (
    Repositories,
    admin_servicer,
    code_servicer,
    event_servicer,
    graph_servicer,
    new_database,
    open_code_embeddings,
    open_database,
    open_embedding,
)
from trimem.store.v1 import (
    code_service_pb2,
    code_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    graph_service_pb2,
    graph_service_pb2_grpc,
    store_admin_pb2,
    store_admin_pb2_grpc,
)

_SERVICE = event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name
_CODE = code_service_pb2.DESCRIPTOR.services_by_name["CodeService"].full_name
_GRAPH = graph_service_pb2.DESCRIPTOR.services_by_name["GraphService"].full_name
_ADMIN = store_admin_pb2.DESCRIPTOR.services_by_name["StoreAdminService"].full_name

_COMMANDS = {
    "migrate": commands.run_migrate,
    "adopt-space": commands.run_adopt_space,
    "status": commands.run_status,
    "backfill": commands.run_backfill,
    "reembed": run_reembed,
    "forget-code": run_forget_code,
}


async def serve(settings: StoreSettings) -> None:
    """Serve until a signal comes."""
    registry = new_registry()
    metrics = StoreMetrics(registry)
    database = new_database(settings)
    metrics.watch_pool(database.pool_use)
    repositories = Repositories.of_postgres(database, settings.events_max_partitions)
    cutter = CuttingProcesses()
    server = Server(settings, registry, services=[_SERVICE, _CODE, _GRAPH, _ADMIN])
    async with (
        open_embedding(settings, repositories.spaces) as embedding,
        open_code_embeddings(settings, database) as code_embeddings,
        contextlib.AsyncExitStack() as running,
    ):
        event_service_pb2_grpc.add_EventServiceServicer_to_server(
            event_servicer(settings, repositories, embedding), server.grpc
        )
        code_service_pb2_grpc.add_CodeServiceServicer_to_server(
            code_servicer(settings, database, cutter, code_embeddings, metrics), server.grpc
        )
        graph_service_pb2_grpc.add_GraphServiceServicer_to_server(graph_servicer(database), server.grpc)
        store_admin_pb2_grpc.add_StoreAdminServiceServicer_to_server(
            admin_servicer(database, repositories), server.grpc
        )

        async def start() -> None:
            await open_database(database, settings)
            work = [
                DatabaseWatcher(database, server.set_ready).run(),
                ObserveBacklog(repositories.outbox, metrics).run(),
                FoldWords(PostgresLexical(database)).run(),
                Upkeep(
                    PostgresPartitions(database, settings.events_max_partitions),
                    metrics,
                    months_ahead=settings.events_partitions_ahead,
                    retention_months=settings.events_retention_months,
                ).run(),
                FillWords(PostgresWords(database), metrics, settings.backfill_interval_seconds).run(),
            ]
            if settings.embedding_auto_generate:
                work.append(
                    Backfill(
                        repositories.outbox,
                        embedding,
                        metrics,
                        interval=settings.backfill_interval_seconds,
                        max_attempts=settings.embedding_max_attempts,
                    ).run()
                )
            for one in work:
                running.push_async_callback(tasks.cancel, asyncio.create_task(one))

        running.push_async_callback(database.close)
        running.push_async_callback(cutter.close)
        with metrics_exporter(
            registry, address=settings.bind_address, port=settings.store_metrics_port, tls=settings.listener_files()
        ):
            await run_until_signal(server, settings.store_port, on_start=start)


def run(argv: Sequence[str]) -> int:
    """Run the service or one of its commands, and return the exit code of the process."""
    said = command_line.parse(argv)
    if said is not None:
        command, options = said
        return main("store", StoreSettings, partial(_COMMANDS[command], options), [])
    if {"-h", "--help"} & set(argv):
        print(f"{command_line.describe()}\n")  # noqa: T201 - the answer
    return main("store", StoreSettings, serve, argv)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
