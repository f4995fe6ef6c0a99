"""What of the graph only PostgreSQL can get wrong: plans, races, rows of a past that the fake does not have."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from servicekit import context
from servicekit.errors import AbortedError, DeadlineExceededError
from store.database import Connection, Database
from store.errors import EndNotFoundError
from store.graph import EdgeDirection
from store.repositories.graph import EdgeFilter, GraphCounts, NodeFilter, Route
from store.repositories.postgres import graph as graph_sql
from store.repositories.postgres import graph_path, graph_walk, graph_write
from store.repositories.postgres.graph import PostgresGraph
from store.servicers.graph_conversion import nodes_message, walked_message
from store.use_cases.graph_nodes import FoundNodes
from tests.conftest import NewDatabase
from tests.fixtures_graph import ROOM, chain, depths, edge, ends, find, node, numbers, walk
from tests.fixtures_store import execute, open_database

#: Guards against hanging; nothing here takes long.
PATIENCE = 30


@pytest_asyncio.fixture
async def url(new_database: NewDatabase) -> str:
    """A new, migrated database."""
    return await new_database(migrated=True)


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A pool on it."""
    async with open_database(url) as opened:
        yield opened


@pytest_asyncio.fixture
async def graph(database: Database) -> PostgresGraph:
    """The graph in it."""
    return PostgresGraph(database)


async def test_walks_searches_and_lists_go_by_index(url: str, database: Database, graph: PostgresGraph) -> None:
    await graph.replace_namespace(
        "code/a", [node(one, f"w{one % 7}") for one in range(1, 3000)], chain(*range(1, 3000))
    )
    one, no = [UUID(int=1)], None

    async def indexes(statement: str, *arguments: object) -> set[str]:
        """Indexes of a plan, which reads no table from end to end."""
        async with database.reading(graph_sql.SETTINGS.format(timeout=0)) as connection:
            [[plan]] = await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
        found = list(_nodes_of(json.loads(plan)[0]["Plan"]))
        assert not [step for step in found if step["Node Type"] == "Seq Scan"]
        return {step["Index Name"] for step in found if "Index Name" in step}

    await execute(url, "ANALYZE")
    source, target = "ix_edges_source_node_id", "ix_edges_target_node_id"
    ways = {EdgeDirection.OUT: {source}, EdgeDirection.IN: {target}, EdgeDirection.BOTH: {source, target}}
    for direction, edges in ways.items():
        assert await indexes(graph_walk.WALK[direction], no, no, one, no, 10, 1000, 500_000) >= edges
        assert await indexes(graph_walk.EDGES[direction], no, no, one, [0], 10, 5000, ROOM, 500_000) == edges
        assert await indexes(graph_path.LEVEL[direction], no, no, one, 500_000, 50_001) >= edges
    page = (no, no, no, 51, no, no, no)
    assert await indexes(graph_sql.LIST, *page, ROOM) == {"ix_nodes_namespace_label"}
    assert await indexes(graph_sql.LIST, "code/a", *page[1:4], "code/a", "x", UUID(int=1), ROOM) == {
        "ix_nodes_namespace_label"
    }
    assert "ix_nodes_label_words" in await indexes(graph_sql.FIND, *page, "some words", no, no, ROOM)


def _nodes_of(plan: dict[str, Any]) -> Any:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes_of(part)


OLD = """
    INSERT INTO nodes (node_id, node_type, label, properties, created_at) VALUES
        ('00000000-0000-0000-0000-000000000001', 'Has Part', NULL, NULL, NULL),
        ('00000000-0000-1000-8000-000000000002', '', '', '[1, {"a": 1e400}]', 'infinity'),
        ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'ü/…', repeat('Long word ', 250000), '"text"', '0001-01-01 BC'),
        ('00000000-0000-0000-0000-000000000004', 'x', repeat('𐍈', 3000), '{"deep": {}}', DEFAULT);
    INSERT INTO edges (source_node_id, target_node_id, relation_type, properties, created_at) VALUES
        ('00000000-0000-0000-0000-000000000001', '00000000-0000-1000-8000-000000000002', 'knows well', NULL, NULL),
        ('00000000-0000-0000-0000-000000000001', '00000000-0000-1000-8000-000000000002', 'knows well', '7', NULL),
        ('00000000-0000-1000-8000-000000000002', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '', '{}', '-infinity'),
        ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000ff', 'to nothing', '{}', now()),
        ('00000000-0000-0000-0000-0000000000ff', '00000000-0000-0000-0000-000000000004', 'from nothing', '{}', now());
"""


async def test_rows_of_the_monolith_are_read_and_written(url: str, graph: PostgresGraph) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(OLD)
    await connection.close()
    first, far = UUID(int=1), UUID("ffffffff-ffff-ffff-ffff-ffffffffffff")

    walked = await walk(graph, 1)
    page = await graph.page(NodeFilter(), None, 2, ROOM)
    rest = await graph.page(NodeFilter(), page.next, 2, ROOM)

    assert [depth for _, depth in walked.nodes] == [0, 1]  # the answer has no room for such a label
    assert len(walked.edges) == 2
    assert {(str(one.properties), one.create_time) for one in walked.edges} == {("{}", None), ("{'value': 7}", None)}
    assert (walked.nodes[0][0].label, walked.nodes[0][0].properties, walked.nodes[0][0].create_time) == ("", {}, None)
    assert len({one.id for one in (*page.nodes, *rest.nodes)}) == 4
    assert rest.next is None
    assert [one.id for one in (await graph.page(NodeFilter("long"), None, 5, ROOM)).nodes] == [far]
    assert await find(graph, "𐍈" * 200) == ["𐍈" * 3000]
    assert await find(graph, types=("Has Part",)) == [""]
    assert (await graph.path(Route(first, far, 5, 100, EdgeFilter(types=("", "knows well"))))).edges[1].type == ""
    [written] = await graph.upsert_nodes([node(1, "now")])
    assert (written.label, written.create_time) == ("now", None)
    assert await graph.delete_nodes([first, far]) == GraphCounts(2, 4)


async def test_writers_of_the_same_in_other_orders_do_not_wait_in_a_circle(graph: PostgresGraph) -> None:
    there = [node(one) for one in range(1, 41)]
    edges = chain(*range(1, 41))
    await graph.upsert_nodes(there)

    async def write(round_: int) -> None:
        turn = 1 if round_ % 2 else -1
        await graph.upsert_nodes([replace(one, properties={"by": round_}) for one in there[::turn]])
        await graph.upsert_edges([replace(one, properties={"by": round_}) for one in edges[::turn]])

    await asyncio.gather(*[write(round_) for round_ in range(12)])

    walked = await walk(graph, 1, max_depth=40)
    assert len({one.properties["by"] for one, _ in walked.nodes}) == 1
    assert len({one.properties["by"] for one in walked.edges}) == 1


async def test_no_edge_is_left_of_nodes_that_are_deleted_beside_its_writing(url: str, graph: PostgresGraph) -> None:
    for _ in range(8):
        await graph.upsert_nodes([node(one, namespace="n") for one in range(1, 21)])
        written = graph.upsert_edges(chain(*range(1, 21)))
        deleted = graph.delete_nodes([UUID(int=one) for one in range(20, 0, -3)])
        results = await asyncio.gather(written, deleted, graph.delete_namespace("n"), return_exceptions=True)
        assert not [one for one in results if isinstance(one, Exception) and not isinstance(one, EndNotFoundError)]
        await graph.delete_namespace("n")

    assert await execute(url, "SELECT FROM edges") == []


async def test_a_walk_sees_one_state_of_a_namespace_that_is_replaced_meanwhile(graph: PostgresGraph) -> None:
    states = [chain(1, 2, 3, 4, 5), chain(1, 5, 4, 3, 2)]
    there = [node(one) for one in range(1, 6)]
    await graph.replace_namespace("code/a", there, states[0])
    done = False

    async def replace_it() -> None:
        nonlocal done
        for turn in range(20):
            await graph.replace_namespace("code/a", there, states[(turn + 1) % 2])
        done = True

    async def look() -> int:
        looks = 0
        while not done:
            walked = await walk(graph, 1, max_depth=4)
            assert ends(walked.edges) in ([(1, 2), (2, 3), (3, 4), (4, 5)], [(1, 5), (5, 4), (4, 3), (3, 2)])
            assert len(walked.nodes) == 5
            looks += 1
        return looks

    _, looks = await asyncio.gather(replace_it(), look())
    assert looks > 0


async def test_what_stays_in_a_replaced_namespace_is_not_written(url: str, graph: PostgresGraph) -> None:
    await graph.replace_namespace("code/a", [node(1), node(2)], [edge(1, 2), edge(2, 1)])
    rows = "SELECT ctid, xmin, xmax, * FROM nodes WHERE node_id = $1"
    before = await execute(url, rows, UUID(int=1))

    await graph.replace_namespace("code/a", [node(1), node(2, "new")], [edge(1, 2)])

    assert await execute(url, rows, UUID(int=1)) == before


async def test_a_replacement_that_fails_leaves_everything_as_it_was(graph: PostgresGraph) -> None:
    await graph.replace_namespace("code/a", [node(1)], [edge(1, 1)])

    with pytest.raises(asyncpg.CharacterNotInRepertoireError):
        await graph.replace_namespace("code/a", [node(2)], [edge(2, 2, "no\0type")])

    assert await find(graph) == ["n1"]
    assert await graph.replace_namespace("code/a", [node(1)], [edge(1, 1)]) == GraphCounts(0, 0)


async def test_a_large_namespace_is_deleted_in_parts(graph: PostgresGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_write, "_PART", 3)
    await graph.upsert_nodes([node(one, namespace="n") for one in range(1, 11)] + [node(11), node(12)])
    of_it = [edge(11, 12, str(one), namespace="n") for one in range(5)]
    await graph.upsert_edges([*chain(*range(1, 12)), *of_it, edge(11, 12)])

    assert await graph.delete_namespace("n") == GraphCounts(10, 15)
    assert await find(graph) == ["n11", "n12"]


async def test_a_walk_looks_at_a_bounded_number_of_edges(graph: PostgresGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_walk, "MOST_LOOKED_AT", 50)
    monkeypatch.setattr(graph_path, "MOST_LOOKED_AT", 50)
    await graph.upsert_nodes([node(one) for one in range(1, 202)])
    await graph.upsert_edges([edge(one, 1) for one in range(2, 200)] + chain(1, 200, 201))

    walked = await walk(graph, 1, edges=EdgeFilter(EdgeDirection.IN))
    found = await graph.path(Route(UUID(int=1), UUID(int=201), 5, 1000, EdgeFilter(EdgeDirection.BOTH)))

    assert (len(walked.nodes), walked.complete) == (51, False)
    assert (numbers(found.nodes), found.complete) == ([], False)
    assert depths(await walk(graph, 1)) == {1: 0, 200: 1, 201: 2}


async def test_the_edges_of_an_answer_are_looked_for_among_as_many(
    graph: PostgresGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_walk, "MOST_LOOKED_AT", 50)
    await graph.upsert_nodes([node(1), node(2)])
    await graph.upsert_edges([edge(1, 2, f"t{number}") for number in range(100)])

    walked = await walk(graph, 1)

    assert depths(walked) == {1: 0, 2: 1}
    assert (len(walked.edges), walked.complete) == (50, False)


class Watched:
    """A connection that remembers how many rows came at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.most = 0

    async def fetch(self, *arguments: Any) -> list[Any]:
        """See asyncpg."""
        rows = await self._connection.fetch(*arguments)
        self.most = max(self.most, len(rows))
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


async def test_the_edges_at_deleted_nodes_stay_in_the_database(database: Database, graph: PostgresGraph) -> None:
    await graph.upsert_nodes([node(1, namespace="n"), node(2), node(3)])
    await graph.upsert_edges([edge(one, 2, f"t{number}") for one in (1, 3) for number in range(100)])

    async with database.transaction() as connection:
        watched: Any = Watched(connection)
        assert await graph_write.delete_part(watched, "n") == GraphCounts(1, 100)
        assert await graph_write.delete_nodes(watched, [UUID(int=3)]) == GraphCounts(1, 100)

    assert watched.most == 1


@pytest.mark.parametrize("direction", [EdgeDirection.OUT, EdgeDirection.BOTH])
async def test_of_many_nodes_at_one_a_path_reads_no_more_than_may_be_looked_at(
    database: Database, graph: PostgresGraph, direction: EdgeDirection
) -> None:
    await graph.upsert_nodes([node(one) for one in range(1, 203)])
    await graph.upsert_edges([edge(1, one) for one in range(2, 202)] + [edge(2, 1)] + chain(201, 202))

    async with database.transaction() as connection:
        watched: Any = Watched(connection)
        found = await graph_path.path(watched, Route(UUID(int=1), UUID(int=202), 10, 50, EdgeFilter(direction)))
        assert (found.nodes, found.complete) == ([], False)
        assert watched.most <= 51
        found = await graph_path.path(watched, Route(UUID(int=1), UUID(int=202), 10, 203, EdgeFilter(direction)))

    assert (numbers(found.nodes), found.complete) == ([1, 201, 202], True)


@pytest.mark.parametrize("value", [[1] * 20_000, [[1]] * 10_000, [[[[[[]]]]]] * 4000, {"": {"": {"": [{}] * 9000}}}])
async def test_an_answer_has_no_more_bytes_than_it_has_room(graph: PostgresGraph, value: Any) -> None:
    large: dict[str, Any] = {"type": "t" * 100, "namespace": "n" * 250, "properties": {"value": value}}
    await graph.upsert_nodes([node(one, **large) for one in range(1, 31)])
    await graph.upsert_edges([replace(one, **large) for one in chain(*range(1, 31))])

    page = await graph.page(NodeFilter(), None, 1000, ROOM)
    walked = await walk(graph, 1)

    for answer in (nodes_message(FoundNodes(page.nodes, "")), walked_message(walked)):
        assert ROOM // 4 < answer.ByteSize() <= ROOM


async def test_a_write_gives_up_on_what_others_hold(
    url: str, graph: PostgresGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_write, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = 50")
    await graph.upsert_nodes([node(1, namespace="n")])
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM nodes FOR UPDATE")
            for call in (
                graph.upsert_nodes([node(1, "x")]),
                graph.upsert_edges([edge(1, 1)]),
                graph.delete_nodes([UUID(int=1)]),
                graph.delete_namespace("n"),
            ):
                with pytest.raises(AbortedError):
                    await call
            assert depths(await walk(graph, 1)) == {1: 0}  # who reads does not wait
    finally:
        await holder.close()


async def test_reading_ends_with_the_callers_time(url: str, graph: PostgresGraph) -> None:
    holder = await asyncpg.connect(url)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: walk(graph, 1),
        lambda: graph.page(NodeFilter("x"), None, 5, ROOM),
        lambda: graph.path(Route(UUID(int=1), UUID(int=2), 5, 10)),
    ]
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE nodes IN ACCESS EXCLUSIVE MODE")
            for call in calls:
                reset = context.deadline.set(time.monotonic() + 0.3)
                try:
                    with pytest.raises(DeadlineExceededError):
                        await asyncio.wait_for(call(), PATIENCE)
                finally:
                    context.deadline.reset(reset)
    finally:
        await holder.close()
