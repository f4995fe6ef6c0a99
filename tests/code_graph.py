"""A small repository whose calls were found by reading it, and what was found."""

from functools import cache
from pathlib import Path

from store.code.cutting import cut
from store.code.resolution import Resolved, resolve
from store.code.source import Outline

_FOLDER = Path(__file__).parent / "data" / "code_graph"

#: Caller, callee, confidence: labels of nodes.
Call = tuple[str, str, str]


@cache
def code_graph_files(part: str) -> tuple[tuple[str, bytes], ...]:
    """The files of a part of the repository. Theirs end with `.txt`, so that nothing takes them for sources of ours."""
    found = sorted((_FOLDER / part).rglob("*.txt"))
    return tuple((path.relative_to(_FOLDER).as_posix().removesuffix(".txt"), path.read_bytes()) for path in found)


@cache
def hand_checked_calls(name: str) -> frozenset[Call]:
    """All calls of a part, as people see them."""
    calls = set()
    for line in (_FOLDER / f"{name}_calls.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            caller, _, rest = line.partition(" -> ")
            callee, _, confidence = rest.rpartition(" ")
            calls.add((caller, callee, confidence))
    return frozenset(calls)


def resolve_sources(*sources: tuple[str, bytes], repository: str = "sample") -> Resolved:
    """The graph of files that are cut here."""
    files: list[tuple[str, str, Outline]] = []
    for path, content in sources:
        done = cut(path, content)
        files.append((path, done.language, done.outline))
    return resolve(repository, files)


def edges_of(resolved: Resolved, edge_type: str) -> set[Call]:
    """Edges of one type, by labels."""
    labels = {node.id: node.label for node in resolved.nodes}
    return {
        (labels[edge.source_id], labels[edge.target_id], str(edge.confidence))
        for edge in resolved.edges
        if edge.type == edge_type
    }
