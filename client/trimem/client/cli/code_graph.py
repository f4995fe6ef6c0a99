"""`trimem code callers` and `trimem code graph`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer

from trimem.client import Edge, EdgeConfidence, EdgeDirection, Node, Traversal, TrimemClient
from trimem.client.cli import graph_formats
from trimem.client.cli.arguments import examples
from trimem.client.cli.code_search import RepositoryOption
from trimem.client.cli.failures import NOT_FOUND, complain, plain
from trimem.client.cli.graph_formats import Format, Step, mark_of, place_of, steps
from trimem.client.cli.output import AsJson, document_of, emit
from trimem.client.cli.session import session_of
from trimem.client.options import NodeOptions

CALLERS_EXAMPLES = examples(
    "trimem code callers JSONDecoder.decode",
    "trimem code callers retry --repository acme/backend --depth 3",
    "trimem code callers os.path.join --json | jq -r '.callers[].node.properties.path'",
)
GRAPH_EXAMPLES = examples(
    "trimem code graph JSONDecoder --edges inherits --edges contains",
    "trimem code graph Uploader.retry --depth 2 --direction IN --format mermaid > callers.mmd",
    "trimem code graph json.decoder --format dot | dot -Tsvg > decoder.svg",
)

#: Namespaces of code begin like this; what follows is the repository.
_CODE = "code/"

#: What can be called.
_CALLED = ("function", "method", "class", "external")

#: Names of code that are looked at to find those that are meant, all that are gone through for them, and how many are
#: proposed when there is none.
_LOOKED_AT = 500
_PASSED = 5_000
_PROPOSED = 5

_WRITERS: dict[Format, Callable[[Traversal], Iterator[str]]] = {
    Format.MERMAID: graph_formats.mermaid,
    Format.DOT: graph_formats.dot,
}

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="a name, or the end of one: decode, Decoder.decode, net::Client, orders.py"),
]
Most = Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="most definitions of that name")]
MostNodes = Annotated[int, typer.Option("--max-nodes", min=1, max=10_000, help="most nodes to show")]
Depth = Annotated[int, typer.Option(min=1, max=20, help="most edges to follow")]


def callers(
    context: typer.Context,
    name: Name,
    repository: RepositoryOption = "",
    depth: Depth = 1,
    limit: Most = 20,
    most_nodes: MostNodes = 1000,
    as_json: AsJson = False,
) -> None:
    """Show who calls a function, method or class.

    For each definition of that name its callers, and with --depth the callers of those, with the places of the calls.
    "inferred" is likely but not sure, "unresolved" is known by its name only; "external" names are defined elsewhere.
    With --json a definition a line: `node`, `callers` (`node`, `depth`, `lines`, `confidence`) and `complete`.
    """
    with session_of(context).open() as client:
        for node in _named(client, name, repository, limit, _CALLED):
            found = client.traverse(
                node.id, direction=EdgeDirection.IN, edge_types=["calls"], max_depth=depth, max_nodes=most_nodes
            )
            calling = [(step, step.edge) for step in steps(found, EdgeDirection.IN) if step.edge is not None]
            if as_json:
                documents = [_document(step, call) for step, call in calling]
                emit({"node": document_of(node), "callers": documents, "complete": found.complete})
            else:
                _show_callers(node, calling)
                _say_whether(found)


def graph(
    context: typer.Context,
    name: Name,
    output: Annotated[
        Format, typer.Option("--format", "-f", case_sensitive=False, help="text, or for Mermaid or Graphviz")
    ] = Format.TEXT,
    repository: RepositoryOption = "",
    depth: Depth = 1,
    direction: Annotated[
        EdgeDirection, typer.Option(case_sensitive=False, help="follow edges from the name, to it, or both")
    ] = EdgeDirection.BOTH,
    edges: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE", help="calls, imports, inherits, contains or references; may be repeated"),
    ] = None,
    sure: Annotated[
        EdgeConfidence | None, typer.Option(case_sensitive=False, help="only edges that are at least this sure")
    ] = None,
    limit: Most = 5,
    most_nodes: MostNodes = 200,
) -> None:
    """Show what a name has to do with others: what it calls, contains, imports, inherits, and what does so with it."""
    with session_of(context).open() as client:
        starts = _named(client, name, repository, limit)
        found = client.traverse(
            [node.id for node in starts],
            direction=direction,
            edge_types=edges or (),
            min_confidence=sure or EdgeConfidence.UNRESOLVED,
            max_depth=depth,
            max_nodes=most_nodes,
        )
    lines = graph_formats.text(found, direction) if output is Format.TEXT else _WRITERS[output](found)
    for line in lines:
        print(line)
    _say_whether(found)


def _named(client: TrimemClient, name: str, repository: str, limit: int, types: Sequence[str] = ()) -> list[Node]:
    """The nodes of that name, what is defined before what is not. Ends the command when there is none."""
    options = NodeOptions(types=types)
    if repository:
        options["namespace"] = f"{_CODE}{repository}"
    nodes: list[Node] = []
    dotted = name.replace("::", ".")
    for seen, node in enumerate(client.search_nodes(dotted, **options), start=1):
        # Those of other namespaces do not count: of them others may have made any number. We look at many, not at all.
        if node.namespace.startswith(_CODE):
            nodes.append(node)
        if len(nodes) == _LOOKED_AT:
            break
        if seen == _PASSED:
            complain(f"only the first {seen:,} names like that were looked at: --repository looks at those of one")
            break
    named = [node for node in nodes if node.label == name or f".{node.label}".endswith((f".{dotted}", f"/{dotted}"))]
    if not named:
        similar = ", ".join(dict.fromkeys(node.label for node in nodes[:_PROPOSED]))
        complain(f"nothing in the graph is called {name}" + (f"; there are {similar}" if similar else ""))
        raise typer.Exit(NOT_FOUND)
    named.sort(key=lambda node: node.type == "external")
    if len(named) > limit:
        more = " or more" if len(nodes) == _LOOKED_AT and nodes[-1] in named else ""
        complain(f"{len(named)}{more} are called {name}: the first {limit}; a longer name, or --limit, says which")
    return named[:limit]


def _document(step: Step, call: Edge) -> dict[str, Any]:
    """A caller, and where and how surely it calls."""
    return {
        "lines": _lines(call),
        "confidence": call.confidence,
        "node": document_of(step.node),
        "depth": step.depth,
    }


def _lines(call: Edge) -> list[Any]:
    lines = call.properties.get("lines")
    return lines if isinstance(lines, list) else []


def _show_callers(node: Node, calling: Sequence[tuple[Step, Edge]]) -> None:
    repository = node.namespace.removeprefix(_CODE)
    print(plain(f"{node.label}  {mark_of(node) or f'{node.type} '}{place_of(node)}  {repository}".rstrip()))
    if not calling:
        print("  no callers are known")
    for step, call in calling:
        path = step.node.properties.get("path", "")
        places = ", ".join(f"{path}:{line}" for line in _lines(call)) or place_of(step.node)
        confidence = (call.confidence or "").lower()
        print("  " * step.depth + plain(f"{step.node.label}  {places}  {confidence}".rstrip()))


def _say_whether(found: Traversal) -> None:
    if not found.complete:
        complain("there are more: the limit of nodes or edges is reached")
