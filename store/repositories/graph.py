"""What the use cases ask of the place where nodes and edges are kept."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from store.events import Json
from store.graph import Edge, EdgeConfidence, EdgeDirection, Node

#: Characters of a label that its place in a list goes by: what is longer would not fit into an index.
ORDERED_CHARACTERS = 250


@dataclass(frozen=True, slots=True)
class NodeFilter:
    """Which nodes; None and empty mean all."""

    #: Words of the label, or an identifier.
    query: str = ""
    namespace: str | None = None
    types: tuple[str, ...] = ()
    properties: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class NodePosition:
    """Where a node is in the order of a search, or of a list, in which the first two are 0."""

    #: 0 when the label is the query, 1 when it ends with it, 2 when it only has its words.
    rank: int
    #: Characters of the label.
    length: int
    namespace: str
    #: The first ORDERED_CHARACTERS of it.
    label: str
    id: UUID


@dataclass(frozen=True, slots=True)
class NodePage:
    """Nodes in order, and the position of the last one when there are more."""

    nodes: list[Node]
    next: NodePosition | None


@dataclass(frozen=True, slots=True)
class EdgeFilter:
    """Which edges are followed; empty means all."""

    direction: EdgeDirection = EdgeDirection.OUT
    types: tuple[str, ...] = ()
    #: Those that claim nothing count as RESOLVED.
    min_confidence: EdgeConfidence | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a traversal begins, and how far it goes."""

    start_ids: tuple[UUID, ...]
    max_depth: int
    #: Start nodes included.
    max_nodes: int
    max_edges: int
    edges: EdgeFilter = field(default_factory=EdgeFilter)
    #: Types of nodes that it goes through, start nodes aside; empty means all.
    node_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Walked:
    """Nodes that were come to, nearest first, each with its depth, and the edges between them that were followed."""

    nodes: list[tuple[Node, int]]
    edges: list[Edge]
    #: False when a bound hid more; that on the depth does not.
    complete: bool


@dataclass(frozen=True, slots=True)
class Route:
    """Between which nodes a path is looked for, and how far."""

    source_id: UUID
    target_id: UUID
    max_depth: int
    #: That may be looked at.
    max_nodes: int
    edges: EdgeFilter = field(default_factory=EdgeFilter)


@dataclass(frozen=True, slots=True)
class Path:
    """A shortest path, in its order; empty when there is none within the bounds."""

    nodes: list[Node]
    edges: list[Edge]
    #: False when the bound on nodes ended the search.
    complete: bool


@dataclass(frozen=True, slots=True)
class GraphCounts:
    """How many nodes and edges were written, or deleted."""

    nodes: int
    edges: int


async def always() -> None:
    """Nothing is in the way."""


class GraphRepository(Protocol):
    """Keeps nodes and edges.

    Every method may raise DatabaseUnavailableError, DeadlineExceededError, ResourceExhaustedError; those that write may
    raise AbortedError, when others keep getting in the way.

    An edge may begin or end at a node that does not exist: rows from before Trimem do, and so do edges of others when
    `replace_namespace` removes a node. Nothing follows them.
    """

    async def get(self, node_id: UUID) -> Node | None:
        """The node with this id."""
        ...

    async def page(self, matching: NodeFilter, after: NodePosition | None, limit: int, room: int) -> NodePage:
        """Nodes of the filter, in the order of NodePosition, those after `after` only.

        At most `limit`, and no more than fit into `room` bytes of an answer; one always fits.
        """
        ...

    async def walk(self, walk: Walk, room: int) -> Walked:
        """Nodes within reach, breadth first, each once. Raises NodeNotFoundError for a start node that does not exist.

        At most `room` bytes of an answer.
        """
        ...

    async def path(self, route: Route) -> Path:
        """A shortest path, the same each time. Raises NodeNotFoundError for an end that does not exist."""
        ...

    async def upsert_nodes(self, nodes: Sequence[Node]) -> list[Node]:
        """Write nodes, all or none, and return them as they are now, in order. Ids must be distinct.

        Raises NamespaceReservedError when a node of that id belongs to code.
        """
        ...

    async def upsert_edges(self, edges: Sequence[Edge]) -> list[Edge]:
        """Write edges, all or none, and return them as they are now, in order. Ids must be distinct.

        Raises NamespaceReservedError as `upsert_nodes`, and EndNotFoundError when one begins or ends at a node that
        does not exist.
        """
        ...

    async def delete_nodes(self, ids: Sequence[UUID]) -> GraphCounts:
        """Remove nodes and the edges at them, all or none; those that do not exist are passed over.

        Raises NamespaceReservedError when one belongs to code.
        """
        ...

    async def delete_namespace(self, namespace: str) -> GraphCounts:
        """Remove the nodes of a namespace, the edges at them, and its edges.

        Of code only what is of the namespace: edges of others stay, as in `replace_namespace`.
        In parts: when it fails, what is gone is gone.
        """
        ...

    async def replace_namespace(
        self,
        namespace: str,
        nodes: Sequence[Node],
        edges: Sequence[Edge],
        *,
        require_allowed: Callable[[], Awaitable[None]] = always,
    ) -> GraphCounts:
        """Make these the nodes and edges of a namespace, in one transaction that writes nothing but differences.

        Their own `namespace` is not looked at. Of several with one id the last one counts; one that another namespace
        has is taken from it. Edges of other namespaces stay, also at nodes that go. Returns what was written or
        removed.

        `require_allowed` raises when this must not be any more. It is asked when nobody else is at it: who is allowed
        later writes later.
        """
        ...
