"""What many tests of one service want: stores with a database, and a terminal beside a service that keeps files."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from tests.conftest import NewDatabase
from tests.fixtures_client_code import FakeCode, code_services
from tests.fixtures_client_command_line import Terminal
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


@pytest.fixture
def code() -> FakeCode:
    """A service that keeps files."""
    return FakeCode()


@pytest_asyncio.fixture
async def trimem(code: FakeCode, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Terminal]:
    """`trimem code`, asking that service."""
    with capture_logs():  # of the server, which would speak on our output
        async with code_services(code) as target:
            yield Terminal(target, capsys)
