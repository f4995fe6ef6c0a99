"""Nodes and edges in memory: the fake beside PostgreSQL, for tests.

`tests/contract` holds the two to the same behaviour.
"""

import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from store.errors import EndNotFoundError, NamespaceReservedError, NodeNotFoundError
from store.graph import CODE_NAMESPACE, Edge, EdgeConfidence, EdgeDirection, Node
from store.repositories.graph import (
    ORDERED_CHARACTERS,
    EdgeFilter,
    GraphCounts,
    NodeFilter,
    NodePage,
    NodePosition,
    Path,
    Route,
    Walk,
    Walked,
    always,
)
from store.repositories.memory import contains

Thing = TypeVar("Thing", Node, Edge)


@dataclass
class MemoryGraph:
    """See GraphRepository. Its methods never wait, so each is a transaction."""

    nodes: dict[UUID, Node] = field(default_factory=dict)
    edges: dict[UUID, Edge] = field(default_factory=dict)

    async def get(self, node_id: UUID) -> Node | None:
        """See GraphRepository."""
        return self.nodes.get(node_id)

    async def page(self, matching: NodeFilter, after: NodePosition | None, limit: int, room: int) -> NodePage:
        """See GraphRepository."""
        found = sorted(
            (position, node)
            for node in self.nodes.values()
            if _matches(node, matching)
            and (position := _position(node, matching.query)) is not None
            and (after is None or position > after)
        )
        kept = found[: _fitting((node for _, node in found[:limit]), room) or 1]
        return NodePage([node for _, node in kept], kept[-1][0] if len(kept) < len(found) else None)

    async def walk(self, asked: Walk, room: int) -> Walked:
        """See GraphRepository."""
        self._require(asked.start_ids)
        depths = dict.fromkeys(asked.start_ids, 0)
        for depth in range(asked.max_depth):
            frontier = [one for one, at in depths.items() if at == depth]
            near = {far for _, far in self._steps(frontier, asked.edges)} - depths.keys()
            fresh = sorted(one for one in near if not asked.node_types or self.nodes[one].type in asked.node_types)
            depths |= dict.fromkeys(fresh, depth + 1)
        kept = list(depths)[: asked.max_nodes]
        del kept[_fitting((self.nodes[one] for one in kept), room) or 1 :]
        gone = [one for one in kept if depths[one] < asked.max_depth]
        followed = {edge.id: edge for edge, far in self._steps(gone, asked.edges) if far in kept}
        edges = sorted(
            followed.values(), key=lambda one: (_nearer(one, depths), one.source_id, one.target_id, one.type, one.id)
        )
        return Walked(
            [(self.nodes[one], depths[one]) for one in kept],
            edges[: asked.max_edges],
            complete=len(kept) == len(depths) and len(edges) <= asked.max_edges,
        )

    async def path(self, route: Route) -> Path:
        """See GraphRepository."""
        self._require([route.source_id, route.target_id])
        steps: dict[UUID, tuple[Edge, UUID] | None] = {route.source_id: None}
        frontier = [route.source_id]
        for _ in range(route.max_depth):
            fresh = {}
            for near in frontier:
                for edge, far in self._steps([near], route.edges):
                    if far not in steps and far not in fresh:
                        fresh[far] = (edge, near)
            steps |= fresh
            frontier = sorted(fresh)
            if len(steps) > route.max_nodes:
                return Path([], [], complete=False)
        nodes = [route.target_id]
        edges: list[Edge] = []
        if route.target_id not in steps:
            return Path([], [], complete=True)
        while (step := steps[nodes[0]]) is not None:
            edges.insert(0, step[0])
            nodes.insert(0, step[1])
        return Path([self.nodes[one] for one in nodes], edges, complete=True)

    async def upsert_nodes(self, nodes: Sequence[Node]) -> list[Node]:
        """See GraphRepository."""
        return _upsert(self.nodes, nodes)

    async def upsert_edges(self, edges: Sequence[Edge]) -> list[Edge]:
        """See GraphRepository."""
        for one in edges:
            for end in (one.source_id, one.target_id):
                if end not in self.nodes:
                    raise EndNotFoundError(end)
        return _upsert(self.edges, edges)

    async def delete_nodes(self, ids: Sequence[UUID]) -> GraphCounts:
        """See GraphRepository."""
        _require_writable(self.nodes, ids)
        return self._delete({one for one in ids if one in self.nodes}, "")

    async def delete_namespace(self, namespace: str) -> GraphCounts:
        """See GraphRepository."""
        nodes = {one.id for one in self.nodes.values() if one.namespace == namespace}
        if namespace.startswith(CODE_NAMESPACE):
            return await self.replace_namespace(namespace, [], [])
        return self._delete(nodes, namespace)

    async def replace_namespace(
        self,
        namespace: str,
        nodes: Sequence[Node],
        edges: Sequence[Edge],
        *,
        require_allowed: Callable[[], Awaitable[None]] = always,
    ) -> GraphCounts:
        """See GraphRepository."""
        await require_allowed()
        return GraphCounts(_replace(self.nodes, namespace, nodes), _replace(self.edges, namespace, edges))

    def _delete(self, nodes: set[UUID], namespace: str) -> GraphCounts:
        edges = [
            one.id
            for one in self.edges.values()
            if {one.source_id, one.target_id} & nodes or (namespace and one.namespace == namespace)
        ]
        for node in nodes:
            del self.nodes[node]
        for edge in edges:
            del self.edges[edge]
        return GraphCounts(len(nodes), len(edges))

    def _require(self, ids: Iterable[UUID]) -> None:
        for one in ids:
            if one not in self.nodes:
                raise NodeNotFoundError(one)

    def _steps(self, frontier: Iterable[UUID], matching: EdgeFilter) -> Iterator[tuple[Edge, UUID]]:
        """Edges that may be followed from nodes, by their ids, and the other ends."""
        at = defaultdict(list)
        for edge in sorted(self.edges.values(), key=lambda one: (one.type, one.id)):
            if not _followed(edge, matching) or not {edge.source_id, edge.target_id} <= self.nodes.keys():
                continue
            if matching.direction is not EdgeDirection.IN:
                at[edge.source_id].append((edge, edge.target_id))
            if matching.direction is not EdgeDirection.OUT:
                at[edge.target_id].append((edge, edge.source_id))
        for one in frontier:
            yield from at[one]


def label_words(label: str) -> list[str]:
    """What the function of this name in the database says."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", label[:1000])
    spaced = re.sub(r"([A-Z])([A-Z][a-z])", r"\1 \2", spaced)
    return [word[:100] for word in re.sub(r"[\W_]+", " ", spaced).lower().split()]


def _matches(node: Node, matching: NodeFilter) -> bool:
    return (
        (matching.namespace is None or node.namespace == matching.namespace)
        and (not matching.types or node.type in matching.types)
        and contains(node.properties, matching.properties)
    )


def _position(node: Node, query: str) -> NodePosition | None:
    """Where a node is among those of a query; None when it is not among them."""
    place = (node.namespace, node.label[:ORDERED_CHARACTERS], node.id)
    if not query:
        return NodePosition(0, 0, *place)
    words = set(label_words(query))
    if not words or not words <= set(label_words(node.label)):
        return None
    small, query = node.label.lower(), query.lower()
    before = small.removesuffix(query)[-1:]
    rank = 0 if small == query else 1 if small.endswith(query) and not re.match(r"\w", before) else 2
    return NodePosition(rank, len(node.label), *place)


def _followed(edge: Edge, matching: EdgeFilter) -> bool:
    sure = list(EdgeConfidence)
    least, confidence = matching.min_confidence, edge.confidence
    return (not matching.types or edge.type in matching.types) and (
        least is None or confidence is None or sure.index(confidence) >= sure.index(least)
    )


def _nearer(edge: Edge, depths: dict[UUID, int]) -> int:
    return min(depths[edge.source_id], depths[edge.target_id])


def _fitting(nodes: Iterable[Node], room: int) -> int:
    """How many of them fit into so many bytes."""
    count = 0
    for node in nodes:
        room -= len(json.dumps([node.label, node.properties]).encode()) + 120
        if room < 0:
            break
        count += 1
    return count


def _require_writable(stored: dict[UUID, Thing], ids: Iterable[UUID]) -> None:
    for one in ids:
        if one in stored and stored[one].namespace.startswith(CODE_NAMESPACE):
            raise NamespaceReservedError(one, stored[one].namespace)


def _upsert(stored: dict[UUID, Thing], things: Sequence[Thing]) -> list[Thing]:
    _require_writable(stored, (one.id for one in things))
    for one in things:
        _put(stored, one)
    return [stored[one.id] for one in things]


def _put(stored: dict[UUID, Thing], thing: Thing) -> bool:
    """Keep it, and whether that is a change. What is as it was keeps its times."""
    old = stored.get(thing.id)
    if old is not None and replace(old, create_time=None, update_time=None) == thing:
        return False
    now = datetime.now(UTC)
    stored[thing.id] = replace(thing, create_time=now if old is None else old.create_time, update_time=now)
    return True


def _replace(stored: dict[UUID, Thing], namespace: str, things: Sequence[Thing]) -> int:
    kept = {one.id for one in things}
    gone = [one.id for one in stored.values() if one.namespace == namespace and one.id not in kept]
    for one in gone:
        del stored[one]
    return len(gone) + sum([_put(stored, replace(one, namespace=namespace)) for one in things])
