"""What a client does with the graph. Made by `client/generate.py`."""

from collections.abc import Generator, Iterable
from typing import Unpack

from trimem.client import graph_calls as calls
from trimem.client.graph_types import DeletedNodes, Edge, GraphPath, NewEdge, NewNode, Node, Traversal
from trimem.client.options import EdgeOptions, NodeOptions, TraverseOptions
from trimem.client.sync_calls import Calls


class GraphCalls(Calls):
    """Nodes, and the edges between them."""

    def get_node(self, node_id: str, *, timeout: float | None = None) -> Node:
        """The node with this id. Raises NotFoundError."""
        return self._run(calls.get_node(node_id, self._time(timeout)))

    def search_nodes(
        self, query: str = "", *, timeout: float | None = None, **options: Unpack[NodeOptions]
    ) -> Generator[Node, None, None]:
        """All nodes whose labels have the words of a query, best first; without one all, by label.

        `timeout` is for each page.
        """
        return self._pages(lambda token: calls.search_nodes(query, token, self._time(timeout), options))

    def traverse(
        self, start_ids: str | Iterable[str], *, timeout: float | None = None, **options: Unpack[TraverseOptions]
    ) -> Traversal:
        """What edges lead to from some nodes, nearest first. Raises NotFoundError when one of them does not exist."""
        ids = [start_ids] if isinstance(start_ids, str) else start_ids
        return self._run(calls.traverse(ids, self._time(timeout), options))

    def find_path(
        self, source_id: str, target_id: str, *, timeout: float | None = None, **options: Unpack[EdgeOptions]
    ) -> GraphPath:
        """A shortest way from one node to another. Raises NotFoundError when one of them does not exist."""
        return self._run(calls.find_path(source_id, target_id, self._time(timeout), options))

    def upsert_nodes(self, nodes: Iterable[NewNode], *, timeout: float | None = None) -> tuple[Node, ...]:
        """Write up to 1,000 nodes, all or none. Returns them as stored, in order."""
        return self._run(calls.upsert_nodes(nodes, self._time(timeout)))

    def upsert_edges(self, edges: Iterable[NewEdge], *, timeout: float | None = None) -> tuple[Edge, ...]:
        """Write up to 1,000 edges, all or none. Returns them as stored, in order.

        Raises FailedPreconditionError when one begins or ends at a node that does not exist.
        """
        return self._run(calls.upsert_edges(edges, self._time(timeout)))

    def delete_nodes(
        self, ids: Iterable[str] = (), *, namespace: str = "", timeout: float | None = None
    ) -> DeletedNodes:
        """Remove nodes and the edges at them: up to 1,000, or all of a namespace. Passes over those that are gone."""
        return self._run(calls.delete_nodes(ids, namespace, self._time(timeout)))
