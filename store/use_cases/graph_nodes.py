"""Reading nodes: one, and those of a search."""

from dataclasses import dataclass, replace

from servicekit.errors import InvalidArgumentError
from store.errors import NodeNotFoundError
from store.graph import MAX_LABEL, Node
from store.repositories.graph import GraphRepository, NodeFilter
from store.use_cases import graph_tokens
from store.use_cases.event_rules import (
    MAX_FILTER_BYTES,
    accept_id,
    accept_page_size,
    require_plain_json,
    require_plain_text,
)
from store.use_cases.graph_rules import accept_asked_namespace, accept_types
from store.use_cases.page_bytes import PAGE_BYTES

DEFAULT_PAGE = 50
LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class FoundNodes:
    """Nodes in order, and the token of the next page; empty on the last one."""

    nodes: list[Node]
    next_page_token: str


class GetNode:
    """Finds a node by its id."""

    def __init__(self, graph: GraphRepository) -> None:
        self._graph = graph

    async def run(self, identity: str) -> Node:
        """The node. Raises InvalidArgumentError for `id`, NodeNotFoundError."""
        node_id = accept_id("id", identity)
        node = await self._graph.get(node_id)
        if node is None:
            raise NodeNotFoundError(node_id)
        return node


class SearchNodes:
    """Finds nodes by words of their labels, or pages through them. Writes between two pages make nothing come twice."""

    def __init__(self, graph: GraphRepository) -> None:
        self._graph = graph

    async def run(self, matching: NodeFilter, page_size: int, page_token: str) -> FoundNodes:
        """One page. Raises InvalidArgumentError for each of the fields."""
        size = accept_page_size(page_size, default=DEFAULT_PAGE, most=LARGEST_PAGE)
        matching = _accept(matching)
        after = graph_tokens.decode(page_token, matching) if page_token else None
        page = await self._graph.page(matching, after, size, PAGE_BYTES)
        return FoundNodes(page.nodes, graph_tokens.encode(page.next, matching) if page.next else "")


def _accept(matching: NodeFilter) -> NodeFilter:
    if len(matching.query) > MAX_LABEL:
        raise InvalidArgumentError("query", f"must be at most {MAX_LABEL} characters")
    require_plain_text("query", matching.query)
    require_plain_json("properties_filter", matching.properties, MAX_FILTER_BYTES)
    return replace(
        matching,
        query=matching.query.strip(),
        namespace=accept_asked_namespace(matching.namespace),
        types=accept_types("types", matching.types),
    )
