"""GraphService: messages in, use cases, messages out."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from servicekit.off_loop import off_loop
from store.repositories.graph import GraphRepository
from store.servicers.graph_conversion import (
    edge_drafts,
    node_drafts,
    node_filter,
    nodes_message,
    path_message,
    path_question,
    traverse_question,
    walked_message,
    write_node,
    written_edges_message,
    written_nodes_message,
)
from store.use_cases.graph_nodes import GetNode, SearchNodes
from store.use_cases.graph_walks import FindPath, Traverse
from store.use_cases.graph_writes import DeleteNodes, UpsertEdges, UpsertNodes
from trimem.store.v1 import graph_service_pb2 as pb
from trimem.store.v1 import graph_service_pb2_grpc as rpc


@dataclass(frozen=True, slots=True)
class GraphUseCases:
    """What the calls do."""

    get: GetNode
    search: SearchNodes
    traverse: Traverse
    path: FindPath
    upsert_nodes: UpsertNodes
    upsert_edges: UpsertEdges
    delete: DeleteNodes

    @classmethod
    def on(cls, graph: GraphRepository) -> Self:
        """All of them, on one graph."""
        return cls(
            GetNode(graph),
            SearchNodes(graph),
            Traverse(graph),
            FindPath(graph),
            UpsertNodes(graph),
            UpsertEdges(graph),
            DeleteNodes(graph),
        )


class GraphServicer(rpc.GraphServiceServicer):
    """Thin on purpose: what a call does is in its use case.

    Answers to questions are made in threads, whatever their size: to measure it takes longer than to change threads.
    """

    def __init__(self, use_cases: GraphUseCases) -> None:
        self._do = use_cases

    async def GetNode(self, request: pb.GetNodeRequest, _context: Any) -> pb.GetNodeResponse:
        """See graph_service.proto."""
        response = pb.GetNodeResponse()
        write_node(await self._do.get.run(request.id), response.node)
        return response

    async def SearchNodes(self, request: pb.SearchNodesRequest, _context: Any) -> pb.SearchNodesResponse:
        """See graph_service.proto."""
        page = await self._do.search.run(node_filter(request), request.page_size, request.page_token)
        return await asyncio.to_thread(nodes_message, page)

    async def Traverse(self, request: pb.TraverseRequest, _context: Any) -> pb.TraverseResponse:
        """See graph_service.proto."""
        return await asyncio.to_thread(walked_message, await self._do.traverse.run(traverse_question(request)))

    async def FindPath(self, request: pb.FindPathRequest, _context: Any) -> pb.FindPathResponse:
        """See graph_service.proto."""
        return await asyncio.to_thread(path_message, await self._do.path.run(path_question(request)))

    async def UpsertNodes(self, request: pb.UpsertNodesRequest, _context: Any) -> pb.UpsertNodesResponse:
        """See graph_service.proto."""
        size = request.ByteSize()
        drafts = await off_loop(size, partial(node_drafts, request))
        return await off_loop(size, partial(written_nodes_message, await self._do.upsert_nodes.run(drafts)))

    async def UpsertEdges(self, request: pb.UpsertEdgesRequest, _context: Any) -> pb.UpsertEdgesResponse:
        """See graph_service.proto."""
        size = request.ByteSize()
        drafts = await off_loop(size, partial(edge_drafts, request))
        return await off_loop(size, partial(written_edges_message, await self._do.upsert_edges.run(drafts)))

    async def DeleteNodes(self, request: pb.DeleteNodesRequest, _context: Any) -> pb.DeleteNodesResponse:
        """See graph_service.proto."""
        counts = await self._do.delete.run(request.ids, request.namespace)
        return pb.DeleteNodesResponse(node_count=counts.nodes, edge_count=counts.edges)
