"""Stores for the tests that want one with real sockets and a database."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.conftest import NewDatabase
from tests.fixtures_store import StartStore, StoreUnderTest, stores


@pytest_asyncio.fixture
async def start_store(new_database: NewDatabase) -> AsyncIterator[StartStore]:
    """Starts stores with the settings of a test."""
    async with stores(new_database) as start:
        yield start


@pytest_asyncio.fixture
async def store(start_store: StartStore) -> StoreUnderTest:
    """A store with default settings."""
    return await start_store()
