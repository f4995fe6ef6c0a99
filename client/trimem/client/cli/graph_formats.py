"""A part of the graph as text, for Mermaid and for Graphviz. Names are data: in none of them can they be syntax."""

from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import StrEnum

from trimem.client import Edge, EdgeConfidence, EdgeDirection, Node, Traversal
from trimem.client.cli.failures import plain

#: What may mean something in a label of Mermaid, or in the Markdown and HTML that it makes of one.
_ENTITIES = {ord(character): f"#{ord(character)};" for character in "#&<>\"'`\\[]{}()|;%*_~$:@"}


class Format(StrEnum):
    """What a graph is written for."""

    TEXT = "text"
    MERMAID = "mermaid"
    DOT = "dot"


@dataclass(frozen=True, slots=True)
class Step:
    """A node, and the edge that led to it; None at a start."""

    node: Node
    edge: Edge | None
    depth: int


def steps(traversal: Traversal, direction: EdgeDirection = EdgeDirection.BOTH) -> Iterator[Step]:
    """The nodes as a tree, each once and as near to a start as it is, with what it leads to behind it.

    `direction` is the one that was followed: of an edge against it nothing was reached. A start that is reached from
    itself, or from what it leads to, is there once more, as an end: a function may call itself.
    """
    depths = {one.node.id: one.depth for one in traversal.nodes}
    nodes = {one.node.id: one.node for one in traversal.nodes}
    led: dict[str, tuple[str, Edge]] = {}
    for near, far, edge in _ways(traversal, direction, depths):
        # Both ways each edge leads back to where it came from.
        is_return = not depths[far] and (near == far or direction is not EdgeDirection.BOTH)
        if is_return or depths[near] == depths[far] - 1:
            led.setdefault(far, (near, edge))
    inner: dict[str, list[tuple[Node, Edge]]] = defaultdict(list)
    for far, (near, edge) in led.items():
        inner[near].append((nodes[far], edge))
    waiting = [Step(one.node, None, 0) for one in reversed(traversal.nodes) if not one.depth]
    while waiting:
        step = waiting.pop()
        yield step
        if step.edge is not None and not depths[step.node.id]:
            continue
        found = sorted(inner[step.node.id], key=lambda pair: (place_of(pair[0]), pair[0].label), reverse=True)
        waiting.extend(Step(node, edge, step.depth + 1) for node, edge in found)


def text(traversal: Traversal, direction: EdgeDirection = EdgeDirection.BOTH) -> Iterator[str]:
    """A line for each node, indented by its depth."""
    for step in steps(traversal, direction):
        edge, node = step.edge, step.node
        line = f"{node.label}  {mark_of(node)}{place_of(node)}"
        if edge is not None:
            arrow = "->" if edge.target_id == node.id and direction is not EdgeDirection.IN else "<-"
            line = f"{arrow} {edge.type} {line}{confidence_of(edge)}"
        yield "  " * step.depth + plain(line).rstrip()


def mermaid(traversal: Traversal) -> Iterator[str]:
    """A flowchart for Mermaid."""
    ids = {one.node.id: f"n{number}" for number, one in enumerate(traversal.nodes)}
    yield "flowchart LR"
    for one in traversal.nodes:
        label = plain(one.node.label).translate(_ENTITIES)
        begin, end = ("([", "])") if one.node.type == "external" else ("[", "]")
        yield f'  {ids[one.node.id]}{begin}"{label}"{end}'
    for edge in _inner(traversal, ids):
        arrow = "-.->" if edge.confidence is EdgeConfidence.UNRESOLVED else "-->"
        kind = plain(edge.type).translate(_ENTITIES)
        yield f'  {ids[edge.source_id]} {arrow}|"{kind}"| {ids[edge.target_id]}'


def dot(traversal: Traversal) -> Iterator[str]:
    """A digraph for Graphviz."""
    ids = {one.node.id: f"n{number}" for number, one in enumerate(traversal.nodes)}
    yield "digraph code {"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    for one in traversal.nodes:
        style = ", style=rounded" if one.node.type == "external" else ""
        yield f"  {ids[one.node.id]} [label={_quoted(one.node.label)}{style}];"
    for edge in _inner(traversal, ids):
        style = ", style=dashed" if edge.confidence is EdgeConfidence.UNRESOLVED else ""
        yield f"  {ids[edge.source_id]} -> {ids[edge.target_id]} [label={_quoted(edge.type)}{style}];"
    yield "}"


def place_of(node: Node) -> str:
    """Where a node is defined, as `path:line`; empty when it is not known."""
    path, line = node.properties.get("path"), node.properties.get("start_line")
    return f"{path}:{line}" if path and line else str(path or "")


def mark_of(node: Node) -> str:
    """What to say of a name that is defined elsewhere."""
    return "external " if node.type == "external" else ""


def confidence_of(edge: Edge) -> str:
    """What to say of an edge that is not sure."""
    confidence = edge.confidence or EdgeConfidence.RESOLVED
    return "" if confidence is EdgeConfidence.RESOLVED else f"  ({confidence.lower()})"


def _ways(traversal: Traversal, direction: EdgeDirection, depths: dict[str, int]) -> list[tuple[str, str, Edge]]:
    """The edges that may have led somewhere, from their nearer end; sure ones first, then by place, not by id."""
    places = {one.node.id: (place_of(one.node), one.node.label) for one in traversal.nodes}
    ways = [
        (edge.source_id, edge.target_id, edge) if way is EdgeDirection.OUT else (edge.target_id, edge.source_id, edge)
        for way in (EdgeDirection.OUT, EdgeDirection.IN)
        for edge in _inner(traversal, places)
        if direction in (way, EdgeDirection.BOTH)
    ]
    return sorted(ways, key=lambda way: (depths[way[0]], confidence_of(way[2]), places[way[0]], way[2].type))


def _inner(traversal: Traversal, ids: Container[str]) -> Iterator[Edge]:
    return (edge for edge in traversal.edges if edge.source_id in ids and edge.target_id in ids)


def _quoted(label: str) -> str:
    """A string of Graphviz: nothing in it is an escape, such as `\\N` and `\\l` would be."""
    return '"' + plain(label).replace("\\", "\\\\").replace('"', '\\"') + '"'
