"""The end of indexing, by one who is not alone any more."""

import asyncio

import asyncpg
import pytest

from store.errors import DatabaseUnavailableError
from store.repositories.memory_graph import MemoryGraph
from store.repositories.postgres.code import PostgresCode
from store.repositories.postgres.graph import PostgresGraph
from store.repositories.postgres.graph_replace import ALONE
from store.use_cases.commit_code import commit_code
from store.use_cases.index_items import IndexSummary
from tests.conftest import NewDatabase
from tests.fixtures_graph import find, node
from tests.fixtures_store import execute, open_database

ADVISORY = """
    FROM pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
END_INDEXING = f"SELECT pg_terminate_backend(pid) {ADVISORY}"


async def test_one_who_lost_the_lock_leaves_the_graph_alone(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    graph = MemoryGraph()
    await graph.replace_namespace("code/one", [node(1, "newer")], [])

    async def index() -> None:
        async with open_database(url) as database, PostgresCode(database).indexing("one") as indexing:
            assert await execute(url, END_INDEXING)
            await commit_code("one", indexing, graph, IndexSummary(), keep_others=True)

    with pytest.raises(DatabaseUnavailableError):
        await index()

    assert await find(graph) == ["newer"]


async def test_one_who_waits_to_write_the_graph_and_loses_the_lock_leaves_it_alone(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)

    async def index() -> None:
        async with open_database(url) as database, PostgresCode(database).indexing("one") as indexing:
            await commit_code("one", indexing, PostgresGraph(database), IndexSummary(), keep_others=True)

    newer = await asyncpg.connect(url)
    async with open_database(url) as database:
        graph = PostgresGraph(database)
        await graph.replace_namespace("code/one", [node(1, "newer")], [])
        async with newer.transaction():
            await newer.execute(ALONE, "code/one")
            indexing = asyncio.create_task(index())
            async with asyncio.timeout(30):
                while not await execute(url, f"SELECT {ADVISORY} AND NOT granted"):
                    await asyncio.sleep(0.01)
            assert await execute(url, f"{END_INDEXING} AND granted AND pid <> $1", newer.get_server_pid())
        with pytest.raises(DatabaseUnavailableError):
            await indexing

        assert await find(graph) == ["newer"]
    await newer.close()
