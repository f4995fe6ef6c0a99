"""Following edges: everything within reach, and the shortest way."""

from dataclasses import dataclass, replace

from servicekit.errors import InvalidArgumentError
from store.repositories.graph import EdgeFilter, GraphRepository, Path, Route, Walk, Walked
from store.use_cases.event_rules import accept_id
from store.use_cases.graph_rules import accept_bound, accept_types
from store.use_cases.page_bytes import PAGE_BYTES

MAX_STARTS = 100
MAX_DEPTH = 20
MAX_NODES = 10_000
DEFAULT_NODES = 1000
DEFAULT_PATH = 10
#: Edges of an answer for each node that it may have.
EDGES_A_NODE = 5
#: Nodes that the search for a path looks at.
MAX_LOOKED_AT = 50_000


@dataclass(frozen=True, slots=True)
class TraverseQuestion:
    """See TraverseRequest."""

    start_ids: tuple[str, ...]
    edges: EdgeFilter
    node_types: tuple[str, ...]
    max_depth: int
    max_nodes: int


@dataclass(frozen=True, slots=True)
class PathQuestion:
    """See FindPathRequest."""

    source_id: str
    target_id: str
    edges: EdgeFilter
    max_depth: int


class Traverse:
    """Finds what is within reach of some nodes."""

    def __init__(self, graph: GraphRepository) -> None:
        self._graph = graph

    async def run(self, question: TraverseQuestion) -> Walked:
        """The nodes, and the edges between them. Raises InvalidArgumentError, NodeNotFoundError."""
        if not 1 <= len(question.start_ids) <= MAX_STARTS:
            raise InvalidArgumentError("start_ids", f"must be 1 to {MAX_STARTS}, and are {len(question.start_ids)}")
        starts = [accept_id(f"start_ids[{index}]", one) for index, one in enumerate(question.start_ids)]
        most = accept_bound("max_nodes", question.max_nodes, default=DEFAULT_NODES, most=MAX_NODES)
        walk = Walk(
            start_ids=tuple(dict.fromkeys(starts)),
            max_depth=accept_bound("max_depth", question.max_depth, default=1, most=MAX_DEPTH),
            max_nodes=most,
            max_edges=EDGES_A_NODE * most,
            edges=_accept(question.edges),
            node_types=accept_types("node_types", question.node_types),
        )
        if len(walk.start_ids) > most:
            raise InvalidArgumentError("max_nodes", "must be at least the number of start_ids")
        return await self._graph.walk(walk, PAGE_BYTES)


class FindPath:
    """Finds a shortest way from one node to another."""

    def __init__(self, graph: GraphRepository) -> None:
        self._graph = graph

    async def run(self, question: PathQuestion) -> Path:
        """The path. Raises InvalidArgumentError, NodeNotFoundError."""
        return await self._graph.path(
            Route(
                source_id=accept_id("source_id", question.source_id),
                target_id=accept_id("target_id", question.target_id),
                max_depth=accept_bound("max_depth", question.max_depth, default=DEFAULT_PATH, most=MAX_DEPTH),
                max_nodes=MAX_LOOKED_AT,
                edges=_accept(question.edges),
            )
        )


def _accept(edges: EdgeFilter) -> EdgeFilter:
    return replace(edges, types=accept_types("edge_types", edges.types))
