"""What every test may use: a real PostgreSQL, and new databases on it."""

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest_asyncio

from deploy.local.postgres import running_postgres

# Tests talk to servers of their own, whatever the shell says.
for _name in ("URL", "API_KEY", "API_KEY_FILE", "TLS", "CA_FILE", "CERT_FILE", "KEY_FILE"):
    os.environ.pop(f"TRIMEM_{_name}", None)

NewDatabase = Callable[[], Awaitable[str]]


@pytest_asyncio.fixture(scope="session")
async def postgres_url() -> AsyncIterator[str]:
    """URL of the server's maintenance database: of TEST_DATABASE_URL when that is set, else of a server of our own."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given.replace("postgresql+asyncpg://", "postgresql://")
        return
    # Not below pytest's own temporary folder: every session of pytest closes that to all other users, and as root the
    # server runs as one.
    with tempfile.TemporaryDirectory(prefix="trimem-postgres-") as folder:
        async with running_postgres(Path(folder), forward=lambda _name, _line: None) as local:
            yield local.url()


@pytest_asyncio.fixture
async def new_database(postgres_url: str) -> AsyncIterator[NewDatabase]:
    """Makes empty databases, `url = await new_database()`, and drops them after the test."""
    made: list[str] = []

    async def make() -> str:
        name = f"trimem_test_{uuid.uuid4().hex[:12]}"
        await _execute(postgres_url, f'CREATE DATABASE "{name}"')
        made.append(name)
        return urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))

    yield make
    for name in made:
        await _execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
