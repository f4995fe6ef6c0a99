"""How every GraphRepository follows edges: the fake in memory and PostgreSQL."""

import random
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from store.errors import NodeNotFoundError
from store.graph import EdgeConfidence, EdgeDirection
from store.repositories.graph import EdgeFilter, GraphRepository, Route
from store.repositories.postgres import graph_walk
from tests.conftest import NewDatabase
from tests.fixtures_graph import chain, depths, edge, empty_graph, ends, node, numbers, walk


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def graph(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[GraphRepository]:
    """An empty graph."""
    async with empty_graph(request.param, new_database) as empty:
        yield empty


async def test_a_walk_goes_by_level_each_node_once_round_cycles(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one) for one in range(1, 8)])
    await graph.upsert_edges([*chain(1, 2, 3, 4, 1), edge(1, 3), edge(2, 2), edge(3, 2), edge(5, 1), edge(4, 6)])

    walked = await walk(graph, 1)

    assert [(node.id.int, depth) for node, depth in walked.nodes] == [(1, 0), (2, 1), (3, 1), (4, 2), (6, 3)]
    assert ends(walked.edges) == [(1, 2), (1, 3), (4, 1), (2, 2), (2, 3), (3, 2), (3, 4), (4, 6)]
    assert walked.complete


WAYS: list[tuple[EdgeDirection, dict[int, int], list[tuple[int, int]]]] = [
    (EdgeDirection.OUT, {3: 0, 4: 1, 5: 2}, [(3, 4), (4, 5)]),
    (EdgeDirection.IN, {3: 0, 2: 1, 1: 2}, [(2, 3), (1, 2)]),
    (EdgeDirection.BOTH, {3: 0, 2: 1, 4: 1, 1: 2, 5: 2}, [(2, 3), (3, 4), (1, 2), (4, 5)]),
]


async def test_a_walk_goes_the_way_it_is_told(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one) for one in range(1, 6)])
    await graph.upsert_edges([*chain(1, 2, 3, 4, 5), edge(1, 5)])

    for direction, expected, edges in WAYS:
        walked = await walk(graph, 3, max_depth=2, edges=EdgeFilter(direction))
        assert depths(walked) == expected
        assert ends(walked.edges) == edges  # from the last level nothing is followed: not from 1 to 5
        assert walked.complete


async def test_a_walk_both_ways_shows_each_edge_once(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one) for one in range(1, 4)])
    await graph.upsert_edges([*chain(1, 2, 3), edge(1, 1), edge(2, 1)])

    for depth in (1, 2, 3):
        walked = await walk(graph, 1, max_depth=depth, edges=EdgeFilter(EdgeDirection.BOTH))
        assert len(walked.edges) == len(set(ends(walked.edges))) == min(depth, 2) + 2


async def test_a_walk_keeps_to_types_of_edges_and_nodes_and_to_confidence(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(1, type="start"), node(2), node(3), node(4), node(5, type="wall"), node(6)])
    sure = EdgeConfidence
    await graph.upsert_edges(
        [
            edge(1, 2, confidence=sure.RESOLVED),
            edge(1, 3, "imports"),
            edge(2, 4, confidence=sure.INFERRED),
            edge(2, 5),
            edge(5, 6),
            edge(4, 6, confidence=sure.UNRESOLVED),
        ]
    )

    async def reached(*node_types: str, **fields: Any) -> list[int]:
        return list(depths(await walk(graph, 1, node_types=node_types, edges=EdgeFilter(**fields))))

    assert await reached() == [1, 2, 3, 4, 5, 6]
    assert await reached(types=("calls", "knows")) == [1, 2, 4, 5, 6]
    assert await reached("thing") == [1, 2, 3, 4, 6]
    assert await reached("thing", min_confidence=sure.INFERRED) == [1, 2, 3, 4]
    assert await reached(min_confidence=sure.RESOLVED) == [1, 2, 3, 5, 6]
    assert await reached(types=("nothing",)) == [1]


async def test_a_walk_from_several_nodes_counts_from_the_nearest(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one) for one in range(1, 7)])
    await graph.upsert_edges(chain(1, 2, 3, 4, 5, 6))

    assert depths(await walk(graph, 4, 1)) == {4: 0, 1: 0, 2: 1, 5: 1, 3: 2, 6: 2}


async def test_a_walk_ends_at_its_bounds_with_the_nearest_nodes_and_says_so(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one) for one in range(1, 60)])
    await graph.upsert_edges([edge(1, one) for one in range(2, 50)] + chain(2, *range(50, 60)))

    few = await walk(graph, 1, max_nodes=10)
    assert numbers([one for one, _ in few.nodes]) == list(range(1, 11))
    assert len(few.edges) == 9
    assert not few.complete
    level = await walk(graph, 1, max_nodes=49)
    assert numbers([one for one, _ in level.nodes]) == list(range(1, 50))
    assert not level.complete
    assert (await walk(graph, 1, max_nodes=59)).complete
    assert (await walk(graph, 1, max_nodes=49, max_depth=1)).complete
    cut = await walk(graph, 1, max_edges=5)
    assert len(cut.nodes) == 59
    assert ends(cut.edges) == [(1, one) for one in range(2, 7)]
    assert not cut.complete


async def test_a_level_of_many_nodes_is_one_level(graph: GraphRepository) -> None:
    near, far = range(2, 1202), range(2002, 3202)
    await graph.upsert_nodes([node(one) for one in (1, *near, *far)])
    await graph.upsert_edges([edge(1, one) for one in near] + [edge(one, one + 2000) for one in near])
    await graph.upsert_edges([edge(one, one + 1) for one in near[:-1]] + [edge(one, 1) for one in far])

    expected = {1: 0, **dict.fromkeys(near, 1), **dict.fromkeys(far, 2)}
    whole = await walk(graph, 1, max_nodes=5000, max_edges=10_000)
    assert depths(whole) == expected
    assert len(whole.edges) == 1200 + 1200 + 1199 + 1200
    assert whole.complete
    assert depths(await walk(graph, 1, max_nodes=5000, max_depth=1)) == {1: 0, **dict.fromkeys(near, 1)}
    cut = await walk(graph, 1, max_nodes=1500)
    assert len(cut.nodes) == 1500
    assert depths(cut).items() <= expected.items()
    assert sum(depth == 1 for _, depth in cut.nodes) == 1200
    assert not cut.complete


async def test_a_walk_of_large_nodes_ends_when_the_answer_is_full(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one, properties={"bulk": "x" * 50_000}) for one in range(1, 6)])
    await graph.upsert_edges(chain(1, 2, 3, 4, 5))

    walked = await walk(graph, 1, room=200_000)

    assert 1 < len(walked.nodes) < 5
    assert len(walked.edges) == len(walked.nodes) - 1
    assert not walked.complete
    tiny = await walk(graph, 1, room=1000)
    assert len(tiny.nodes) == 1  # one always fits


async def test_a_walk_or_path_from_nothing_is_refused(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(1)])

    with pytest.raises(NodeNotFoundError, match=str(UUID(int=7))):
        await walk(graph, 1, 7)
    for pair in ((1, 7), (7, 1)):
        with pytest.raises(NodeNotFoundError, match=str(UUID(int=7))):
            await path(graph, *pair)


async def path(graph: GraphRepository, source: int, target: int, **fields: Any) -> list[int]:
    """Numbers of the nodes of a path, which fits together."""
    asked = {"max_depth": 20, "max_nodes": 1000} | fields
    found = await graph.path(Route(UUID(int=source), UUID(int=target), **asked))
    assert found.complete
    assert len(found.edges) == max(len(found.nodes) - 1, 0)
    along = numbers(found.nodes)
    for (start, end), step in zip(pairwise(along), ends(found.edges), strict=True):
        assert step in {(start, end), (end, start)}
    return along


async def test_a_path_is_a_shortest_one(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one) for one in range(1, 9)])
    await graph.upsert_edges([*chain(1, 2, 3, 4, 5), edge(2, 4, "imports"), edge(5, 1), edge(8, 8)])

    assert await path(graph, 1, 5) == [1, 2, 4, 5]
    assert await path(graph, 1, 5, edges=EdgeFilter(types=("calls",))) == [1, 2, 3, 4, 5]
    assert await path(graph, 1, 5, edges=EdgeFilter(EdgeDirection.IN)) == [1, 5]
    assert await path(graph, 4, 1, edges=EdgeFilter(EdgeDirection.BOTH)) in ([4, 2, 1], [4, 5, 1])
    assert await path(graph, 1, 1) == [1]
    assert await path(graph, 1, 8) == []
    assert await path(graph, 1, 5, max_depth=2) == []
    assert await path(graph, 1, 5, max_depth=3) == [1, 2, 4, 5]


async def test_the_search_for_a_path_ends_at_its_bound_and_says_so(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one) for one in range(1, 203)])
    await graph.upsert_edges([edge(1, one) for one in range(2, 100)] + [edge(one, 202) for one in range(100, 202)])

    found = await graph.path(Route(UUID(int=1), UUID(int=202), 10, 50))

    assert (found.nodes, found.edges, found.complete) == ([], [], False)


@pytest.mark.parametrize(("seed", "step"), [(1, 500), (2, 500), (3, 2)])
async def test_walks_and_paths_of_any_graph_are_right(
    graph: GraphRepository, seed: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_walk, "_STEP_NODES", step)
    monkeypatch.setattr(graph_walk, "WALK", {way: graph_walk._walk(way) for way in EdgeDirection})
    chance = random.Random(seed)
    pairs = {(chance.randint(1, 30), chance.randint(1, 30)) for _ in range(45)}
    await graph.upsert_nodes([node(one) for one in range(1, 31)])
    await graph.upsert_edges([edge(*pair) for pair in sorted(pairs)])

    for direction in EdgeDirection:
        steps = set()
        if direction is not EdgeDirection.IN:
            steps |= pairs
        if direction is not EdgeDirection.OUT:
            steps |= {(two, one) for one, two in pairs}
        far = {1: 0}
        for _ in range(30):
            for one, two in sorted(steps):
                if one in far:
                    far[two] = min(far.get(two, 99), far[one] + 1)
        walked = await walk(graph, 1, edges=EdgeFilter(direction))
        assert depths(walked) == far
        assert walked == await walk(graph, 1, edges=EdgeFilter(direction))
        assert set(ends(walked.edges)) == {
            pair for pair in pairs if (pair if direction is not EdgeDirection.IN else pair[::-1])[0] in far
        }
        for target in range(1, 31):
            found = await path(graph, 1, target, edges=EdgeFilter(direction))
            assert len(found) == (far[target] + 1 if target in far else 0)
            assert all(step in steps for step in pairwise(found))
            assert found == await path(graph, 1, target, edges=EdgeFilter(direction))
