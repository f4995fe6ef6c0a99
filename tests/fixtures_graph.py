"""What the tests of the graph share."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from uuid import UUID

from store.graph import Edge, Node, edge_id
from store.repositories.graph import GraphRepository, NodeFilter, Walk, Walked
from store.repositories.memory_graph import MemoryGraph
from store.repositories.postgres.graph import PostgresGraph
from tests.fixtures_store import NewDatabase, migrated, open_database

#: Bytes that an answer may have, in most tests.
ROOM = 3 * 1024 * 1024


@asynccontextmanager
async def empty_graph(kind: str, new_database: NewDatabase) -> AsyncIterator[GraphRepository]:
    """The fake, or the real one."""
    if kind == "memory":
        yield MemoryGraph()
        return
    async with open_database(await migrated(await new_database())) as database:
        yield PostgresGraph(database)


async def walk(graph: GraphRepository, *starts: int, room: int = ROOM, **fields: Any) -> Walked:
    """A walk from nodes of these numbers, as far as it goes."""
    asked = {"max_depth": 20, "max_nodes": 1000, "max_edges": 5000} | fields
    return await graph.walk(Walk(tuple(UUID(int=one) for one in starts), **asked), room)


def depths(walked: Walked) -> dict[int, int]:
    """How far away each node is."""
    return {node.id.int: depth for node, depth in walked.nodes}


def node(number: int, label: str = "", **fields: Any) -> Node:
    """A node whose id is a number."""
    fields = {"type": "thing", "label": label or f"n{number}"} | fields
    return Node(UUID(int=number), **fields)


def edge(source: int, target: int, edge_type: str = "calls", **fields: Any) -> Edge:
    """An edge between nodes of such ids."""
    ends = UUID(int=source), UUID(int=target)
    return Edge(edge_id(*ends, edge_type, fields.get("namespace", "")), *ends, edge_type, **fields)


def chain(*numbers: int, **fields: Any) -> list[Edge]:
    """Edges from each number to the next."""
    return [edge(one, two, **fields) for one, two in pairwise(numbers)]


def numbers(things: Sequence[Node]) -> list[int]:
    """The ids of nodes, as numbers."""
    return [one.id.int for one in things]


def ends(edges: Sequence[Edge]) -> list[tuple[int, int]]:
    """Between what edges are."""
    return [(one.source_id.int, one.target_id.int) for one in edges]


async def find(graph: GraphRepository, query: str = "", **fields: Any) -> list[str]:
    """Labels of all that is found."""
    page = await graph.page(NodeFilter(query, **fields), None, 1000, ROOM)
    return [one.label for one in page.nodes]
