"""GraphService: messages in, use cases, messages out."""

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
    write_edge,
    write_node,
)
from store.use_cases.graph_nodes import GetNode, SearchNodes
from store.use_cases.graph_walks import FindPath, Traverse
from store.use_cases.graph_writes import DeleteNodes, UpsertEdges, UpsertNodes
from trimem.store.v1 import graph_service_pb2 as pb
from trimem.store.v1 import graph_service_pb2_grpc as rpc

#: About as many bytes as a node or an edge has in an answer; for where messages are made, and nothing else.
_EACH = 500


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
    """Thin on purpose: what a call does is in its use case."""

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
        return await off_loop(_EACH * len(page.nodes), partial(nodes_message, page))

    async def Traverse(self, request: pb.TraverseRequest, _context: Any) -> pb.TraverseResponse:
        """See graph_service.proto."""
        walked = await self._do.traverse.run(traverse_question(request))
        return await off_loop(_EACH * (len(walked.nodes) + len(walked.edges)), partial(walked_message, walked))

    async def FindPath(self, request: pb.FindPathRequest, _context: Any) -> pb.FindPathResponse:
        """See graph_service.proto."""
        return path_message(await self._do.path.run(path_question(request)))

    async def UpsertNodes(self, request: pb.UpsertNodesRequest, _context: Any) -> pb.UpsertNodesResponse:
        """See graph_service.proto."""
        drafts = await off_loop(request.ByteSize(), partial(node_drafts, request))
        response = pb.UpsertNodesResponse()
        for node in await self._do.upsert_nodes.run(drafts):
            write_node(node, response.nodes.add())
        return response

    async def UpsertEdges(self, request: pb.UpsertEdgesRequest, _context: Any) -> pb.UpsertEdgesResponse:
        """See graph_service.proto."""
        drafts = await off_loop(request.ByteSize(), partial(edge_drafts, request))
        response = pb.UpsertEdgesResponse()
        for edge in await self._do.upsert_edges.run(drafts):
            write_edge(edge, response.edges.add())
        return response

    async def DeleteNodes(self, request: pb.DeleteNodesRequest, _context: Any) -> pb.DeleteNodesResponse:
        """See graph_service.proto."""
        counts = await self._do.delete.run(request.ids, request.namespace)
        return pb.DeleteNodesResponse(node_count=counts.nodes, edge_count=counts.edges)
