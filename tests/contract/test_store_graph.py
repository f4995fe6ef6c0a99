"""What every GraphRepository writes and deletes: the fake in memory and PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
import pytest_asyncio

from store.errors import EndNotFoundError, NamespaceReservedError
from store.graph import EdgeConfidence
from store.repositories.graph import GraphCounts, GraphRepository
from tests.conftest import NewDatabase
from tests.fixtures_graph import chain, depths, edge, empty_graph, ends, find, node, numbers, walk


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def graph(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[GraphRepository]:
    """An empty graph."""
    async with empty_graph(request.param, new_database) as empty:
        yield empty


async def test_nodes_and_edges_come_back_as_they_were_written(graph: GraphRepository) -> None:
    first = node(1, "“𐍈” \\ 'x'", namespace="team/a", properties={"n": 1, "x": [0.5, None, {"": []}]})
    second = edge(1, 1, namespace="other", confidence=EdgeConfidence.INFERRED, properties={"lines": [1, 2]})

    [stored] = await graph.upsert_nodes([first])
    [stored_edge] = await graph.upsert_edges([second])

    assert replace(stored, create_time=None, update_time=None) == first
    assert stored.create_time == stored.update_time is not None
    assert await graph.get(first.id) == stored
    assert await graph.get(UUID(int=2)) is None
    assert replace(stored_edge, create_time=None, update_time=None) == second
    assert (await walk(graph, 1)).edges == [stored_edge]


async def test_writing_the_same_again_changes_nothing_and_another_replaces_it_as_a_whole(
    graph: GraphRepository,
) -> None:
    [first] = await graph.upsert_nodes([node(1, "old", properties={"a": 1})])
    [wired] = await graph.upsert_edges([edge(1, 1)])

    assert await graph.upsert_nodes([node(1, "old", properties={"a": 1})]) == [first]
    assert await graph.upsert_edges([edge(1, 1)]) == [wired]
    [changed] = await graph.upsert_nodes([node(1, "new", type="other", namespace="n")])
    [rewired] = await graph.upsert_edges([edge(1, 1, confidence=EdgeConfidence.RESOLVED)])

    assert (changed.label, changed.type, changed.namespace, changed.properties) == ("new", "other", "n", {})
    assert first.update_time is not None
    assert changed.update_time is not None
    assert changed.create_time == first.create_time
    assert changed.update_time > first.update_time
    assert rewired.confidence is EdgeConfidence.RESOLVED


async def test_answers_are_in_the_order_of_the_request(graph: GraphRepository) -> None:
    asked = [node(3), node(1), node(2)]

    assert numbers(await graph.upsert_nodes(asked)) == [3, 1, 2]
    assert ends(await graph.upsert_edges([edge(3, 2), edge(1, 2)])) == [(3, 2), (1, 2)]
    assert await graph.upsert_nodes([]) == []
    assert await graph.upsert_edges([]) == []


async def test_an_edge_to_nothing_is_refused_with_all_beside_it(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(1)])

    with pytest.raises(EndNotFoundError, match=str(UUID(int=9))):
        await graph.upsert_edges([edge(1, 1), edge(1, 9)])

    assert (await walk(graph, 1)).edges == []


async def test_what_belongs_to_code_is_changed_by_nobody_else(graph: GraphRepository) -> None:
    await graph.replace_namespace("code/a", [node(1), node(2)], [edge(1, 2)])
    await graph.upsert_nodes([node(3)])

    with pytest.raises(NamespaceReservedError, match="code/a"):
        await graph.upsert_nodes([node(4), node(1, "mine")])
    with pytest.raises(NamespaceReservedError, match="code/a"):
        await graph.upsert_edges([edge(3, 1), replace(edge(3, 3), id=edge(1, 2).id)])
    with pytest.raises(NamespaceReservedError, match="code/a"):
        await graph.delete_nodes([UUID(int=3), UUID(int=2)])

    assert await find(graph) == ["n3", "n1", "n2"]
    assert ends((await walk(graph, 1, 3)).edges) == [(1, 2)]


async def test_deleted_nodes_take_the_edges_at_them_along(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one) for one in range(1, 5)])
    await graph.upsert_edges([*chain(1, 2, 3, 4), edge(2, 2), edge(4, 1)])

    assert await graph.delete_nodes([UUID(int=2), UUID(int=9)]) == GraphCounts(1, 3)
    assert await graph.delete_nodes([UUID(int=2)]) == GraphCounts(0, 0)

    assert await find(graph) == ["n1", "n3", "n4"]
    assert ends((await walk(graph, 3)).edges) == [(3, 4), (4, 1)]


async def test_a_deleted_namespace_takes_its_nodes_its_edges_and_those_at_its_nodes(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(1, namespace="a"), node(2, namespace="a"), node(3), node(4)])
    await graph.upsert_edges([edge(1, 2), edge(3, 1), edge(3, 4, namespace="a"), edge(4, 3), edge(3, 4, "likes")])

    assert await graph.delete_namespace("a") == GraphCounts(2, 3)
    assert await graph.delete_namespace("a") == GraphCounts(0, 0)

    walked = await walk(graph, 3)
    assert depths(walked) == {3: 0, 4: 1}
    assert [(one.type, *pair) for one, pair in zip(walked.edges, ends(walked.edges), strict=True)] == [
        ("likes", 3, 4),
        ("calls", 4, 3),
    ]


async def test_deleted_code_leaves_the_edges_that_others_have_there(graph: GraphRepository) -> None:
    await graph.replace_namespace("code/a", [node(1), node(2)], [edge(1, 2)])
    await graph.upsert_nodes([node(3)])
    await graph.upsert_edges([edge(3, 1, namespace="mine"), edge(2, 3)])

    assert await graph.delete_namespace("code/a") == GraphCounts(2, 1)

    assert (await walk(graph, 3)).edges == []
    await graph.replace_namespace("code/a", [node(1), node(2)], [edge(1, 2)])
    assert ends((await walk(graph, 3)).edges) == [(2, 3), (3, 1), (1, 2)]


async def test_a_replaced_namespace_has_what_it_was_given_and_writes_differences_only(graph: GraphRepository) -> None:
    before = [node(one) for one in range(1, 5)]
    assert await graph.replace_namespace("code/a", before, chain(1, 2, 3, 4)) == GraphCounts(4, 3)
    kept = await graph.get(UUID(int=1))

    assert await graph.replace_namespace("code/a", before, chain(1, 2, 3, 4)) == GraphCounts(0, 0)
    after = [node(1), node(2, "another"), node(4), node(5)]
    edges = [edge(1, 2), edge(2, 4), replace(edge(1, 5), properties={"lines": [3]})]
    assert await graph.replace_namespace("code/a", after, edges) == GraphCounts(3, 4)

    assert kept is not None
    assert kept.namespace == "code/a"
    assert await graph.get(UUID(int=1)) == kept
    assert await find(graph, namespace="code/a") == ["another", "n1", "n4", "n5"]
    assert ends((await walk(graph, 1)).edges) == [(1, 2), (1, 5), (2, 4)]
    assert await graph.replace_namespace("code/a", [], []) == GraphCounts(4, 3)
    assert await find(graph) == []


async def test_a_replaced_namespace_leaves_others_alone_but_for_ids_that_it_needs(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(1), node(2, "squatter")])
    await graph.replace_namespace("code/b", [node(3)], [])
    await graph.replace_namespace("code/a", [node(2, "first"), node(2, "last"), node(4)], [edge(2, 4), edge(2, 4)])
    await graph.upsert_edges([edge(1, 2, "mentions"), edge(1, 4, "mentions")])

    await graph.replace_namespace("code/a", [node(2, "last")], [])

    assert await find(graph) == ["n1", "last", "n3"]
    assert depths(await walk(graph, 1)) == {1: 0, 2: 1}  # the edge to 4 ends nowhere, and waits
    await graph.replace_namespace("code/a", [node(2, "last"), node(4)], [])
    assert depths(await walk(graph, 1)) == {1: 0, 2: 1, 4: 1}
