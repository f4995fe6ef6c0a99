"""What every test may use: a real PostgreSQL, and new databases on it."""

import asyncio
import os
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest_asyncio

from deploy.local.postgres import running_postgres

# Tests talk to servers of their own, whatever the shell says.
for _name in ("URL", "API_KEY", "API_KEY_FILE", "TLS", "CA_FILE", "CERT_FILE", "KEY_FILE"):
    os.environ.pop(f"TRIMEM_{_name}", None)

# In the background of a script a shell has SIGINT ignored, and what is started here would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: What our own server does without: no test ends it in the middle, and nobody reads what it leaves.
_LASTING = ("fsync", "full_page_writes", "synchronous_commit")


class NewDatabase(Protocol):
    """Makes a database, empty or with the newest schema, and returns its URL."""

    async def __call__(self, *, migrated: bool = False) -> str: ...


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
            for setting in _LASTING:
                await _execute(local.url(), f"ALTER SYSTEM SET {setting} = off")
            await _execute(local.url(), "SELECT pg_reload_conf()")
            yield local.url()


class _Template:
    """A database with the newest schema, made when it is first asked for: a copy takes less than the migrations."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._making = asyncio.Lock()
        self._name = ""

    async def name(self) -> str:
        from tests.fixtures_store import migrated

        async with self._making:
            if not self._name:
                name = _new_name()
                await _execute(self._server, f'CREATE DATABASE "{name}"')
                await migrated(_url_of(self._server, name))
                # Who is connected to it, be it the server's own vacuum, is in the way of a copy.
                await _execute(self._server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
                self._name = name
        return self._name

    async def drop(self) -> None:
        if self._name:
            await _execute(self._server, f'DROP DATABASE "{self._name}"')


@pytest_asyncio.fixture(scope="session")
async def _template(postgres_url: str) -> AsyncIterator[_Template]:
    template = _Template(postgres_url)
    yield template
    await template.drop()


@pytest_asyncio.fixture
async def new_database(postgres_url: str, _template: _Template) -> AsyncIterator[NewDatabase]:
    """Makes databases, `url = await new_database()`, and drops them after the test."""
    made: list[str] = []

    async def make(*, migrated: bool = False) -> str:
        name = _new_name()
        of = f'TEMPLATE "{await _template.name()}"' if migrated else ""
        await _execute(postgres_url, f'CREATE DATABASE "{name}" {of}')
        made.append(name)
        return _url_of(postgres_url, name)

    yield make
    for name in made:
        await _execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def _new_name() -> str:
    return f"trimem_test_{uuid.uuid4().hex[:12]}"


def _url_of(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
