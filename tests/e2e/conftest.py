"""One stack with the real model for all tests that only talk to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.settings import LocalSettings
from deploy.local.stack import Stack, running_stack


@pytest_asyncio.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """PostgreSQL, embedder (real model), store and gateway on free ports of 127.0.0.1."""
    settings = LocalSettings(
        _env_file=None,
        trimem_data_dir=tmp_path_factory.mktemp("trimem"),
        bind_address="127.0.0.1",
        gateway_port=0,
        gateway_http_port=0,
        embedder_port=0,
        store_port=0,
        embedder_metrics_port=0,
        store_metrics_port=0,
    )
    async with running_stack(settings, forward=lambda _name, _line: None, report=lambda _line: None) as running:
        yield running


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[2]
