"""Dataclasses to messages of GraphService, and back."""

from uuid import uuid4

from trimem.client.conversion import time_of
from trimem.client.enums import member_of, number_of
from trimem.client.graph_types import (
    DeletedNodes,
    Edge,
    EdgeConfidence,
    GraphPath,
    NewEdge,
    NewNode,
    Node,
    Traversal,
    TraversedNode,
)
from trimem.client.structs import fill, object_of
from trimem.store.v1 import graph_service_pb2 as pb


def add_node(request: pb.UpsertNodesRequest, node: NewNode) -> None:
    """Put a node into a request. Without an id it gets one, so that the call may be made again.

    Raises InvalidArgumentError for properties that no message can hold.
    """
    number = len(request.nodes)
    message = request.nodes.add(id=node.id or str(uuid4()), type=node.type, label=node.label, namespace=node.namespace)
    if node.properties:
        fill(f"nodes[{number}].properties", message.properties, node.properties)


def add_edge(request: pb.UpsertEdgesRequest, edge: NewEdge) -> None:
    """Put an edge into a request. Raises InvalidArgumentError for properties that no message can hold."""
    number = len(request.edges)
    message = request.edges.add(
        id=edge.id or "",
        source_id=edge.source_id,
        target_id=edge.target_id,
        type=edge.type,
        namespace=edge.namespace,
        confidence=number_of(pb.EdgeConfidence, edge.confidence),
    )
    if edge.properties:
        fill(f"edges[{number}].properties", message.properties, edge.properties)


def node_of(message: pb.Node) -> Node:
    """A node as stored."""
    return Node(
        id=message.id,
        type=message.type,
        label=message.label,
        namespace=message.namespace,
        properties=object_of(message.properties),
        create_time=time_of(message.create_time),
        update_time=time_of(message.update_time),
    )


def edge_of(message: pb.Edge) -> Edge:
    """An edge as stored."""
    return Edge(
        id=message.id,
        source_id=message.source_id,
        target_id=message.target_id,
        type=message.type,
        namespace=message.namespace,
        confidence=member_of(EdgeConfidence, pb.EdgeConfidence, message.confidence),
        properties=object_of(message.properties),
        create_time=time_of(message.create_time),
        update_time=time_of(message.update_time),
    )


def traversal_of(message: pb.TraverseResponse) -> Traversal:
    """What edges lead to."""
    return Traversal(
        nodes=tuple(TraversedNode(node=node_of(one.node), depth=one.depth) for one in message.nodes),
        edges=tuple(edge_of(edge) for edge in message.edges),
        complete=message.complete,
    )


def path_of(message: pb.FindPathResponse) -> GraphPath:
    """A way from one node to another."""
    return GraphPath(
        nodes=tuple(node_of(node) for node in message.nodes),
        edges=tuple(edge_of(edge) for edge in message.edges),
        complete=message.complete,
    )


def deleted_nodes_of(message: pb.DeleteNodesResponse) -> DeletedNodes:
    """What was removed."""
    return DeletedNodes(nodes=message.node_count, edges=message.edge_count)
