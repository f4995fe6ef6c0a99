"""Nodes and edges, in plain dataclasses: no transport and no database in here."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from store.events import Json

#: Namespaces that begin like this are written by CodeService alone: `code/<repository>`.
CODE_NAMESPACE = "code/"

#: Characters.
MAX_LABEL = 1000

_EDGES = UUID("6f1b7b0e-64f5-4e55-9d1c-0f3c2a8f7d11")


class EdgeConfidence(StrEnum):
    """How sure it is that an edge is there, the least first; the values are those of the column.

    See graph_service.proto.
    """

    UNRESOLVED = "UNRESOLVED"
    INFERRED = "INFERRED"
    RESOLVED = "RESOLVED"


class EdgeDirection(StrEnum):
    """Which way edges are followed."""

    OUT = "OUT"
    IN = "IN"
    BOTH = "BOTH"


@dataclass(frozen=True, slots=True)
class NodeDraft:
    """A node as a caller gave it, not looked at yet."""

    id: str = ""
    type: str = ""
    label: str = ""
    namespace: str = ""
    properties: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EdgeDraft:
    """An edge as a caller gave it, not looked at yet."""

    id: str = ""
    source_id: str = ""
    target_id: str = ""
    type: str = ""
    namespace: str = ""
    confidence: EdgeConfidence | None = None
    properties: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """A thing; see Node in graph_service.proto."""

    id: UUID
    type: str
    label: str
    namespace: str = ""
    properties: Json = field(default_factory=dict)
    #: None before it is stored.
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """One node has to do with another; see Edge in graph_service.proto."""

    id: UUID
    source_id: UUID
    target_id: UUID
    type: str
    namespace: str = ""
    #: None of one that claims nothing.
    confidence: EdgeConfidence | None = None
    properties: Json = field(default_factory=dict)
    #: None before it is stored.
    create_time: datetime | None = None
    update_time: datetime | None = None


def edge_id(source_id: UUID, target_id: UUID, edge_type: str, namespace: str) -> UUID:
    """The id of an edge that was given none: writing it again writes it once."""
    return uuid5(_EDGES, f"{source_id}/{target_id}/{edge_type}/{namespace}")
