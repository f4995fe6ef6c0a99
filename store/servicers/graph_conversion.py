"""Messages of GraphService to dataclasses, and back."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from servicekit.errors import InvalidArgumentError, ResourceExhaustedError
from store.graph import Edge, EdgeConfidence, EdgeDirection, EdgeDraft, Node, NodeDraft
from store.repositories.graph import EdgeFilter, NodeFilter, Path, Walked
from store.servicers.conversion import write_time
from store.servicers.structs import object_of, write_object
from store.use_cases.graph_nodes import FoundNodes
from store.use_cases.graph_walks import PathQuestion, TraverseQuestion
from trimem.store.v1 import graph_service_pb2 as pb

#: By default a gRPC client takes no larger message.
_ANSWER_BYTES = 4 * 1024 * 1024
#: What an answer may say of a node or an edge beyond what the request said: an id and two times, with their tags.
_ADDED_BYTES = 80

_CONFIDENCES: dict[pb.EdgeConfidence.ValueType, EdgeConfidence | None] = {
    pb.EDGE_CONFIDENCE_UNSPECIFIED: None,
    **{pb.EdgeConfidence.Value(f"EDGE_CONFIDENCE_{one.value}"): one for one in EdgeConfidence},
}
_CONFIDENCE_VALUES = {one: value for value, one in _CONFIDENCES.items()}

_DIRECTIONS: dict[pb.EdgeDirection.ValueType, EdgeDirection] = {
    pb.EDGE_DIRECTION_UNSPECIFIED: EdgeDirection.OUT,
    **{pb.EdgeDirection.Value(f"EDGE_DIRECTION_{one.value}"): one for one in EdgeDirection},
}


def node_drafts(request: pb.UpsertNodesRequest) -> list[NodeDraft]:
    """The nodes of a request. Raises InvalidArgumentError for more than an answer carries."""
    _require_room("nodes", len(request.nodes), request.ByteSize())
    return [NodeDraft(one.id, one.type, one.label, one.namespace, object_of(one.properties)) for one in request.nodes]


def edge_drafts(request: pb.UpsertEdgesRequest) -> list[EdgeDraft]:
    """The edges of a request. Raises InvalidArgumentError for what no dataclass can hold, or no answer carries."""
    _require_room("edges", len(request.edges), request.ByteSize())
    return [
        EdgeDraft(
            one.id,
            one.source_id,
            one.target_id,
            one.type,
            one.namespace,
            _confidence_of(f"edges[{index}].confidence", one.confidence),
            object_of(one.properties),
        )
        for index, one in enumerate(request.edges)
    ]


def node_filter(request: pb.SearchNodesRequest) -> NodeFilter:
    """Which nodes a request looks for."""
    return NodeFilter(
        query=request.query,
        namespace=request.namespace if request.HasField("namespace") else None,
        types=tuple(request.types),
        properties=object_of(request.properties_filter),
    )


def traverse_question(request: pb.TraverseRequest) -> TraverseQuestion:
    """Where a request begins and how far it goes. Raises InvalidArgumentError for what no dataclass can hold."""
    return TraverseQuestion(
        start_ids=tuple(request.start_ids),
        edges=_edge_filter(request),
        node_types=tuple(request.node_types),
        max_depth=request.max_depth,
        max_nodes=request.max_nodes,
    )


def path_question(request: pb.FindPathRequest) -> PathQuestion:
    """Between what a request looks for a path. Raises InvalidArgumentError for what no dataclass can hold."""
    return PathQuestion(request.source_id, request.target_id, _edge_filter(request), request.max_depth)


def nodes_message(page: FoundNodes) -> pb.SearchNodesResponse:
    """The answer to a search."""
    message = pb.SearchNodesResponse(next_page_token=page.next_page_token)
    for node in page.nodes:
        write_node(node, message.nodes.add())
    return message


def walked_message(walked: Walked) -> pb.TraverseResponse:
    """The answer to a traversal."""
    message = pb.TraverseResponse(complete=walked.complete)
    for node, depth in walked.nodes:
        added = message.nodes.add(depth=depth)
        write_node(node, added.node)
    for edge in walked.edges:
        write_edge(edge, message.edges.add())
    return message


def path_message(path: Path) -> pb.FindPathResponse:
    """The answer to the search for a path. Raises ResourceExhaustedError for one that is too large."""
    message = pb.FindPathResponse(complete=path.complete)
    for node in path.nodes:
        write_node(node, message.nodes.add())
    for edge in path.edges:
        write_edge(edge, message.edges.add())
    if (size := message.ByteSize()) > _ANSWER_BYTES:
        raise ResourceExhaustedError(
            f"the nodes and edges of the path have {size} bytes, and an answer at most {_ANSWER_BYTES}: Traverse "
            "returns those that fit"
        )
    return message


def written_nodes_message(nodes: Sequence[Node]) -> pb.UpsertNodesResponse:
    """Nodes as they are stored now."""
    message = pb.UpsertNodesResponse()
    for node in nodes:
        write_node(node, message.nodes.add())
    return message


def written_edges_message(edges: Sequence[Edge]) -> pb.UpsertEdgesResponse:
    """Edges as they are stored now."""
    message = pb.UpsertEdgesResponse()
    for edge in edges:
        write_edge(edge, message.edges.add())
    return message


def write_node(node: Node, message: pb.Node) -> None:
    """Write a node into an empty message, in place: protobuf would copy one that is put into an answer."""
    message.id = str(node.id)
    message.type = node.type
    message.label = node.label
    message.namespace = node.namespace
    write_object(node.properties, message.properties)
    _write_time(node.create_time, message.create_time)
    _write_time(node.update_time, message.update_time)


def write_edge(edge: Edge, message: pb.Edge) -> None:
    """Write an edge into an empty message, in place."""
    message.id = str(edge.id)
    message.source_id = str(edge.source_id)
    message.target_id = str(edge.target_id)
    message.type = edge.type
    message.namespace = edge.namespace
    message.confidence = _CONFIDENCE_VALUES[edge.confidence]
    write_object(edge.properties, message.properties)
    _write_time(edge.create_time, message.create_time)
    _write_time(edge.update_time, message.update_time)


def _write_time(value: datetime | None, message: Timestamp) -> None:
    """A time, or none: rows from before Trimem may be without."""
    if value is not None:
        write_time(value, message)


def _require_room(field: str, count: int, size: int) -> None:
    """Raise InvalidArgumentError when nobody could read the answer: they would not know that all is written."""
    if size + _ADDED_BYTES * count > _ANSWER_BYTES:
        raise InvalidArgumentError(field, f"are too large for one answer, which has {_ANSWER_BYTES} bytes: send fewer")


def _edge_filter(request: pb.TraverseRequest | pb.FindPathRequest) -> EdgeFilter:
    if request.direction not in _DIRECTIONS:
        raise InvalidArgumentError("direction", "is not a direction")
    return EdgeFilter(
        direction=_DIRECTIONS[request.direction],
        types=tuple(request.edge_types),
        min_confidence=_confidence_of("min_confidence", request.min_confidence),
    )


def _confidence_of(field: str, value: pb.EdgeConfidence.ValueType) -> EdgeConfidence | None:
    if value not in _CONFIDENCES:
        raise InvalidArgumentError(field, "is not a confidence")
    return _CONFIDENCES[value]
