"""Writing and deleting nodes and edges."""

from collections.abc import Sequence

from servicekit.errors import InvalidArgumentError
from store.graph import Edge, EdgeDraft, Node, NodeDraft
from store.repositories.graph import GraphCounts, GraphRepository
from store.use_cases.event_rules import accept_id
from store.use_cases.graph_rules import accept_edges, accept_namespace, accept_nodes, require_count


class UpsertNodes:
    """Writes nodes, all or none."""

    def __init__(self, graph: GraphRepository) -> None:
        self._graph = graph

    async def run(self, drafts: Sequence[NodeDraft]) -> list[Node]:
        """The nodes as stored, in order. Raises InvalidArgumentError, NamespaceReservedError, AbortedError."""
        nodes = accept_nodes(drafts)
        distinct = list({one.id: one for one in nodes}.values())
        stored = {one.id: one for one in await self._graph.upsert_nodes(distinct)}
        return [stored[one.id] for one in nodes]


class UpsertEdges:
    """Writes edges, all or none."""

    def __init__(self, graph: GraphRepository) -> None:
        self._graph = graph

    async def run(self, drafts: Sequence[EdgeDraft]) -> list[Edge]:
        """The edges as stored, in order.

        Raises InvalidArgumentError, EndNotFoundError, NamespaceReservedError, AbortedError.
        """
        edges = accept_edges(drafts)
        distinct = list({one.id: one for one in edges}.values())
        stored = {one.id: one for one in await self._graph.upsert_edges(distinct)}
        return [stored[one.id] for one in edges]


class DeleteNodes:
    """Removes nodes and the edges at them."""

    def __init__(self, graph: GraphRepository) -> None:
        self._graph = graph

    async def run(self, ids: Sequence[str], namespace: str) -> GraphCounts:
        """What was deleted. Raises InvalidArgumentError, NamespaceReservedError, AbortedError."""
        if namespace:
            if ids:
                raise InvalidArgumentError("namespace", "must not be given beside ids")
            return await self._graph.delete_namespace(accept_namespace(namespace))
        require_count("ids", len(ids))
        wanted = [accept_id(f"ids[{index}]", one) for index, one in enumerate(ids)]
        return await self._graph.delete_nodes(list(dict.fromkeys(wanted)))
