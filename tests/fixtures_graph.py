"""What the tests of the graph share."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2

from servicekit.status import status_of
from store.graph import Edge, Node, edge_id
from store.repositories.graph import GraphRepository, NodeFilter, Walk, Walked
from store.repositories.memory_graph import MemoryGraph
from store.repositories.postgres.graph import PostgresGraph
from store.servicers.graph_servicer import GraphServicer, GraphUseCases
from tests.conftest import NewDatabase
from tests.fixtures_store import open_database, running, store_settings
from trimem.store.v1 import graph_service_pb2, graph_service_pb2_grpc

#: Bytes that an answer may have, in most tests.
ROOM = 3 * 1024 * 1024


@asynccontextmanager
async def empty_graph(kind: str, new_database: NewDatabase) -> AsyncIterator[GraphRepository]:
    """The fake, or the real one."""
    if kind == "memory":
        yield MemoryGraph()
        return
    async with open_database(await new_database(migrated=True)) as database:
        yield PostgresGraph(database)


@asynccontextmanager
async def served_graph(
    new_database: NewDatabase,
) -> AsyncIterator[tuple["graph_service_pb2_grpc.GraphServiceAsyncStub", GraphRepository]]:
    """GraphService on a port of its own, and the graph behind it, which is empty."""
    async with empty_graph("postgres", new_database) as graph, serving(graph) as stub:
        yield stub, graph


@asynccontextmanager
async def serving(graph: GraphRepository) -> AsyncIterator["graph_service_pb2_grpc.GraphServiceAsyncStub"]:
    """GraphService over a graph."""

    def add(server: grpc.aio.Server) -> None:
        servicer = GraphServicer(GraphUseCases.on(graph))
        graph_service_pb2_grpc.add_GraphServiceServicer_to_server(servicer, server)

    service = graph_service_pb2.DESCRIPTOR.services_by_name["GraphService"].full_name
    async with (
        running(store_settings(), service, add) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield graph_service_pb2_grpc.GraphServiceStub(channel)


async def refusal(call: Any) -> tuple[str, str]:
    """The code of an error, and the field that it names, or else its reason."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    said = caught.value.code().name
    bad_request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    for detail in status_of(caught.value).details:
        if detail.Unpack(bad_request):
            [violation] = bad_request.field_violations
            return said, violation.field
    for detail in status_of(caught.value).details:
        if detail.Unpack(info):
            return said, info.reason
    return said, ""


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
