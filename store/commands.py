"""What the commands of `python -m store` do: their wiring, and what they print."""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import logging
from collections.abc import AsyncIterator

from rich.console import Console

from store import migrate
from store.repositories.postgres.outbox import PostgresOutbox
from store.repositories.postgres.spaces import PostgresSpaces
from store.repositories.postgres.status import PostgresStatus
from store.settings import StoreSettings
from store.status_report import print_status, status_document
from store.use_cases.administer import Administer
from store.use_cases.adopt_space import AdoptSpace
from store.wiring import new_database, open_database, open_embedding, operators_database


async def run_migrate(options: argparse.Namespace, settings: StoreSettings) -> None:
    """Migrate, check, or print the statements."""
    plan = migrate.MigrationPlan(
        url=settings.database_url.get_secret_value(),
        dimension=settings.embedding_dimension,
        lock_timeout=settings.migration_lock_timeout_seconds,
        statement_timeout=settings.migration_statement_timeout_seconds,
    )
    if not options.sql:
        await new_database(settings).facts(wait=settings.database_start_timeout_seconds)
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
    database = new_database(settings)
    try:
        await open_database(database, settings)
        spaces = PostgresSpaces(database)
        async with open_embedding(settings, spaces) as embedding:
            adoption = await AdoptSpace(spaces, embedding).run(force=options.force)
    finally:
        await database.close()
    if not adoption.is_new:
        print(f"recorded already: {adoption.space.describe()}")  # noqa: T201 - the answer
        return
    compared = (
        f"{adoption.compared} vectors compared, median cosine {adoption.median:.4f}"
        if adoption.compared
        else "no vectors compared"
    )
    print(f"recorded: {adoption.space.describe()}; {compared}")  # noqa: T201 - the answer


async def run_status(options: argparse.Namespace, settings: StoreSettings) -> None:
    """Say how the store is."""
    async with _administration(settings) as administer:
        status, connections = await administer.status(), await administer.connections()
    if options.json:
        document = status_document(status)
        del document["pool"]  # ours, which is of no interest: those of the running stores are
        document["connections"] = dataclasses.asdict(connections)
        print(json.dumps(document, indent=2))  # noqa: T201 - the answer
    else:
        print_status(status, connections, Console())


async def run_backfill(options: argparse.Namespace, settings: StoreSettings) -> None:
    """Pause, resume, or retry."""
    async with _administration(settings) as administer:
        match options.action:
            case "pause":
                await administer.pause()
                said = "paused; `python -m store backfill resume` ends it"
            case "resume":
                await administer.resume()
                said = "resumed"
            case _:
                said = f"PENDING again: {await administer.retry(options.ids)}"
    print(said)  # noqa: T201 - the answer


@contextlib.asynccontextmanager
async def _administration(settings: StoreSettings) -> AsyncIterator[Administer]:
    async with operators_database(settings, most_connections=1) as database:
        yield Administer(PostgresStatus(database), PostgresOutbox(database))
