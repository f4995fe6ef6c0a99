"""What each method about the graph sends, and how its answer is read."""

from collections.abc import Iterable

from trimem.client import graph_conversion as conversion
from trimem.client.calls import Call
from trimem.client.enums import number_of
from trimem.client.graph_types import DeletedNodes, Edge, GraphPath, NewEdge, NewNode, Node, Traversal
from trimem.client.options import EdgeOptions, NodeOptions, TraverseOptions
from trimem.client.structs import fill
from trimem.store.v1 import graph_service_pb2 as pb

#: Nodes of a page of a list, of which all pages are wanted.
_PAGE = 500


def get_node(node_id: str, timeout: float) -> Call[Node]:
    """GetNode."""
    return Call("GetNode", pb.GetNodeRequest(id=node_id), lambda answer: conversion.node_of(answer.node), timeout)


def search_nodes(query: str, page_token: str, timeout: float, options: NodeOptions) -> Call[tuple[list[Node], str]]:
    """One page of SearchNodes, and the token of the next one."""
    request = pb.SearchNodesRequest(
        query=query,
        namespace=options.get("namespace"),
        types=options.get("types", ()),
        page_size=options.get("page_size", _PAGE),
        page_token=page_token,
    )
    if wanted := options.get("properties_filter"):
        fill("properties_filter", request.properties_filter, wanted)

    def read(answer: pb.SearchNodesResponse) -> tuple[list[Node], str]:
        return [conversion.node_of(node) for node in answer.nodes], answer.next_page_token

    return Call("SearchNodes", request, read, timeout)


def traverse(start_ids: Iterable[str], timeout: float, options: TraverseOptions) -> Call[Traversal]:
    """Traverse."""
    request = pb.TraverseRequest(
        start_ids=start_ids,
        node_types=options.get("node_types", ()),
        max_nodes=options.get("max_nodes", 0),
    )
    _add_edges(request, options)
    return Call("Traverse", request, conversion.traversal_of, timeout)


def find_path(source_id: str, target_id: str, timeout: float, options: EdgeOptions) -> Call[GraphPath]:
    """FindPath."""
    request = pb.FindPathRequest(source_id=source_id, target_id=target_id)
    _add_edges(request, options)
    return Call("FindPath", request, conversion.path_of, timeout)


def upsert_nodes(nodes: Iterable[NewNode], timeout: float) -> Call[tuple[Node, ...]]:
    """UpsertNodes."""
    request = pb.UpsertNodesRequest()
    for node in nodes:
        conversion.add_node(request, node)
    return Call("UpsertNodes", request, lambda answer: tuple(map(conversion.node_of, answer.nodes)), timeout)


def upsert_edges(edges: Iterable[NewEdge], timeout: float) -> Call[tuple[Edge, ...]]:
    """UpsertEdges. Made again it writes the same again."""
    request = pb.UpsertEdgesRequest()
    for edge in edges:
        conversion.add_edge(request, edge)
    return Call("UpsertEdges", request, lambda answer: tuple(map(conversion.edge_of, answer.edges)), timeout)


def delete_nodes(ids: Iterable[str], namespace: str, timeout: float) -> Call[DeletedNodes]:
    """DeleteNodes. Made again it passes over what is gone."""
    request = pb.DeleteNodesRequest(ids=ids, namespace=namespace)
    return Call("DeleteNodes", request, conversion.deleted_nodes_of, timeout)


def _add_edges(request: pb.TraverseRequest | pb.FindPathRequest, options: EdgeOptions) -> None:
    request.direction = number_of(pb.EdgeDirection, options.get("direction"))
    request.edge_types.extend(options.get("edge_types", ()))
    request.min_confidence = number_of(pb.EdgeConfidence, options.get("min_confidence"))
    request.max_depth = options.get("max_depth", 0)
