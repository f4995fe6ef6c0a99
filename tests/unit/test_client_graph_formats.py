"""Graphs as text, Mermaid and Graphviz: whatever names are like."""

import re
from datetime import UTC, datetime

import pytest

from trimem.client import Edge, EdgeConfidence, EdgeDirection, Node, Traversal, TraversedNode
from trimem.client.cli.graph_formats import dot, mermaid, steps, text

NOW = datetime(2026, 1, 31, tzinfo=UTC)

HOSTILE = 'a"]; click n0 "javascript:x" <b>&amp; \\" \\N `x` \x1b[31m\n%% {end} #quot;'


def node(label: str, kind: str = "function") -> Node:
    properties = {"path": f"{label}.py", "start_line": 1}
    return Node(
        id=label, type=kind, label=label, namespace="code/x", properties=properties, create_time=NOW, update_time=NOW
    )


def edge(source: str, target: str, confidence: EdgeConfidence | None = EdgeConfidence.RESOLVED) -> Edge:
    return Edge(
        id=f"{source}{target}", source_id=source, target_id=target, type="calls", namespace="code/x",
        confidence=confidence, properties={"lines": [7]}, create_time=NOW, update_time=NOW,
    )  # fmt: skip


def traversal(edges: list[Edge], **depths: int) -> Traversal:
    nodes = tuple(TraversedNode(node=node(label), depth=depth) for label, depth in depths.items())
    return Traversal(nodes=nodes, edges=tuple(edges), complete=True)


def test_each_node_is_shown_once_below_the_nearest() -> None:
    found = traversal(
        [edge("b", "a"), edge("c", "a"), edge("d", "b"), edge("d", "c"), edge("a", "d"), edge("a", "a")],
        a=0, b=1, c=1, d=2,
    )  # fmt: skip
    assert [(step.node.id, step.depth) for step in steps(found)] == [("a", 0), ("a", 1), ("b", 1), ("d", 2), ("c", 1)]
    assert list(text(found)) == [
        "a  a.py:1",
        "  -> calls a  a.py:1",
        "  <- calls b  b.py:1",
        "    <- calls d  d.py:1",
        "  <- calls c  c.py:1",
    ]


def test_in_mutual_recursion_the_edge_is_of_the_direction_that_was_followed() -> None:
    found = traversal([edge("a", "b"), edge("b", "a")], a=0, b=1)
    for direction, source in ((EdgeDirection.IN, "b"), (EdgeDirection.OUT, "a")):
        [_start, step, _again] = steps(found, direction)
        assert step.edge is not None
        assert step.edge.source_id == source
    assert list(text(found, EdgeDirection.IN)) == [
        "a  a.py:1",
        "  <- calls b  b.py:1",
        "    <- calls a  a.py:1",
    ]
    assert [step.node.id for step in steps(found)] == ["a", "b"]


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_edges_to_a_node_the_same_is_shown_in_whatever_order_they_come(reverse: bool) -> None:
    both = [edge("a", "b"), edge("b", "a")]
    found = traversal(both[::-1] if reverse else both, a=0, b=1)
    assert list(text(found))[1:] == ["  -> calls b  b.py:1"]
    sure = [edge("b", "d", EdgeConfidence.INFERRED), edge("c", "d"), edge("a", "c"), edge("a", "b")]
    found = traversal(sure[::-1] if reverse else sure, a=0, b=1, c=1, d=2)
    assert list(text(found))[1:] == ["  -> calls b  b.py:1", "  -> calls c  c.py:1", "    -> calls d  d.py:1"]
    even = [edge("c", "d"), edge("b", "d"), edge("a", "c"), edge("a", "b")]
    found = traversal(even[::-1] if reverse else even, a=0, b=1, c=1, d=2)
    assert list(text(found))[1:] == ["  -> calls b  b.py:1", "    -> calls d  d.py:1", "  -> calls c  c.py:1"]


def test_what_leads_back_to_a_start_is_shown_once_where_it_is_nearest() -> None:
    found = traversal([edge("c", "a"), edge("a", "b"), edge("b", "c"), edge("b", "b"), edge("b", "a")], a=0, b=1, c=2)
    assert [(step.node.id, step.depth) for step in steps(found, EdgeDirection.OUT)] == [
        ("a", 0), ("b", 1), ("a", 2), ("c", 2),
    ]  # fmt: skip
    itself = traversal([edge("a", "a")], a=0)
    assert list(text(itself, EdgeDirection.OUT))[1:] == list(text(itself))[1:] == ["  -> calls a  a.py:1"]
    assert list(text(itself, EdgeDirection.IN))[1:] == ["  <- calls a  a.py:1"]


def test_a_start_that_another_leads_to_is_there_as_both() -> None:
    found = traversal([edge("a", "b"), edge("b", "c")], a=0, b=0, c=1)
    assert [(step.node.id, step.depth) for step in steps(found, EdgeDirection.OUT)] == [
        ("a", 0), ("b", 1), ("b", 0), ("c", 1),
    ]  # fmt: skip


def test_what_is_unsure_or_external_is_said() -> None:
    found = Traversal(
        nodes=(
            TraversedNode(node=node("a"), depth=0),
            TraversedNode(node=node("x", kind="external"), depth=1),
            TraversedNode(node=node("y"), depth=1),
        ),
        edges=(edge("a", "x", EdgeConfidence.UNRESOLVED), edge("a", "y", EdgeConfidence.INFERRED)),
        complete=True,
    )
    assert list(text(found))[1:] == [
        "  -> calls x  external x.py:1  (unresolved)",
        "  -> calls y  y.py:1  (inferred)",
    ]
    assert '  n0 -.->|"calls"| n1' in list(mermaid(found))
    assert '  n0 -> n1 [label="calls", style=dashed];' in list(dot(found))


def test_several_starts_are_all_there() -> None:
    assert [step.node.id for step in steps(traversal([edge("a", "b")], a=0, b=0, c=0))] == ["a", "b", "c"]


def test_nothing_in_a_name_is_syntax_for_mermaid() -> None:
    lines = list(mermaid(traversal([], **{HOSTILE: 0})))
    assert len(lines) == 2
    match = re.fullmatch(r'  n0\["(.*)"\]', lines[1])
    assert match is not None
    assert re.fullmatch(r"(?:[\w .,=/-]|#\d+;)*", match[1]), match[1]


def test_nothing_in_a_name_is_syntax_for_graphviz() -> None:
    label = list(dot(traversal([], **{HOSTILE: 0})))[3]
    match = re.fullmatch(r'  n0 \[label="((?:[^"\\]|\\\\|\\")*)"\];', label)
    assert match is not None, label
    assert match[1].replace('\\"', '"').replace("\\\\", "\\").count("\\N") == 1


@pytest.mark.parametrize("write", [text, mermaid, dot])
def test_no_name_steers_the_terminal(write: object) -> None:
    assert callable(write)
    assert all(line.isprintable() for line in write(traversal([], **{HOSTILE: 0})))
