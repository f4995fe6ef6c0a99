"""Nodes and edges in plain dataclasses. graph_service.proto explains the fields."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trimem.client.types import Json


class EdgeDirection(StrEnum):
    """Which way edges are followed: from source to target, from target to source, or both ways."""

    OUT = "OUT"
    IN = "IN"
    BOTH = "BOTH"


class EdgeConfidence(StrEnum):
    """How sure it is that an edge is there."""

    UNRESOLVED = "UNRESOLVED"
    INFERRED = "INFERRED"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNode:
    """A node on its way in. With an `id` that exists it replaces that node as a whole."""

    type: str
    label: str = ""
    #: UUID; the client makes one without it.
    id: str | None = None
    namespace: str = ""
    properties: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A thing."""

    id: str
    type: str
    label: str
    namespace: str
    properties: Json
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEdge:
    """An edge on its way in. Without an `id` it is the one of its source, target and type."""

    source_id: str
    target_id: str
    type: str
    #: UUID.
    id: str | None = None
    namespace: str = ""
    confidence: EdgeConfidence | None = None
    properties: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One node has to do with another."""

    id: str
    source_id: str
    target_id: str
    type: str
    namespace: str
    #: None of one that claims nothing.
    confidence: EdgeConfidence | None
    properties: Json
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TraversedNode:
    """A node, and the least number of edges from a start node."""

    node: Node
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traversal:
    """What edges lead to."""

    #: Nearest first; start nodes have depth 0.
    nodes: tuple[TraversedNode, ...]
    #: Those that were followed.
    edges: tuple[Edge, ...]
    #: False when a bound other than the depth hid more.
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPath:
    """A shortest way from one node to another; without nodes when there is none."""

    nodes: tuple[Node, ...]
    #: One less than nodes.
    edges: tuple[Edge, ...]
    #: False when a bound ended the search: there may be a path all the same.
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedNodes:
    """What was removed."""

    nodes: int
    edges: int
