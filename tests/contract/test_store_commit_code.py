"""The end of indexing, by one who is not alone any more."""

import pytest

from store.errors import DatabaseUnavailableError
from store.repositories.memory_graph import MemoryGraph
from store.repositories.postgres.code import PostgresCode
from store.use_cases.commit_code import commit_code
from store.use_cases.index_items import IndexSummary
from tests.conftest import NewDatabase
from tests.fixtures_graph import find, node
from tests.fixtures_store import execute, open_database

END_INDEXING = """
    SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


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
