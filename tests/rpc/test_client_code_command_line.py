"""`trimem code` against a service that keeps files: what it finds, prints and ends with."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.fixtures_client import answering
from tests.fixtures_client_code import FakeCode
from tests.fixtures_client_command_line import Terminal
from trimem.store.v1 import code_service_pb2 as pb
from trimem.store.v1 import graph_service_pb2 as graph_pb

ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202eevil"


def hits(*contents: str) -> pb.SearchCodeResponse:
    answer = pb.SearchCodeResponse(mode=pb.CODE_SEARCH_MODE_FUSED, complete=True)
    for content in contents:
        lines = content.split("\n")
        chunk = pb.CodeChunk(
            id="c1", repository="ours", path="src/up.py", language="python", qualified_name="Up.retry",
            kind=pb.CODE_KIND_METHOD, start_line=9, content=content,
        )  # fmt: skip
        snippet = pb.Snippet(start_line=9, lines=lines, matching_lines=[10])
        answer.hits.add(chunk=chunk, score=0.75, snippet=snippet)
    return answer


async def test_a_search_shows_places_and_lines(trimem: Terminal, code: FakeCode) -> None:
    code.fake.act = answering(hits("def retry(self):\n\tself.again()\n\n    return 1"))
    found = await trimem(
        "search", "retry", "-n", "3", "-r", "ours", "--language", "Python", "--kind", "method", "--path", "src/",
        "--mode", "names",
    )  # fmt: skip
    assert (found.status, found.problems) == (0, "")
    assert found.output.splitlines() == [
        "src/up.py:10  Up.retry  0.750  ours  c1",
        " 9   def retry(self):",
        "10 >     self.again()",
        "11",
        "12       return 1",
        "",
    ]
    expected = pb.SearchCodeRequest(
        query="retry", mode=pb.CODE_SEARCH_MODE_NAMES, repository="ours", path="src/", languages=["python"],
        kinds=[pb.CODE_KIND_METHOD], page_size=3,
    )  # fmt: skip
    assert code.fake.requests == [expected]
    document = (await trimem("search", "retry", "--json")).document()
    assert document["hits"][0]["snippet"]["matching_lines"] == [10]
    assert (document["mode"], document["complete"], document["degraded"]) == ("FUSED", True, False)


async def test_a_terminal_gets_colours(trimem: Terminal, code: FakeCode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    code.fake.act = answering(hits("def retry(self):\n    self.again()"))
    assert "\x1b[1;36msrc/up.py:10\x1b[0m" in (await trimem("search", "retry")).output


async def test_what_is_found_does_not_steer_the_terminal(trimem: Terminal, code: FakeCode) -> None:
    answer = hits(f"x = '{ESCAPES}'\n{ESCAPES}\r\n[red]y[/]")
    chunk = answer.hits[0].chunk
    chunk.path = chunk.qualified_name = chunk.repository = chunk.id = chunk.language = chunk.embedding_error = ESCAPES
    code.fake.act = answering(answer)
    searched = await trimem("search", "x")
    code.fake.act = answering(pb.GetChunkResponse(chunk=chunk))
    shown = await trimem("show", "c1")
    code.repositories = {"ours": {f"{ESCAPES}.py": b""}}
    files = await trimem("files", "ours")
    code.fake.act = graph_of(ESCAPES)
    callers = await trimem("callers", "f")
    graphs = [await trimem("graph", "f", "--format", one) for one in ("text", "mermaid", "dot")]
    for ended in (searched, shown, files, callers, *graphs):
        assert ended.status == 0, ended.problems
        assert all(one.isprintable() for one in (ended.output + ended.problems).replace("\n", "")), ended
    assert "[red]y[/]" in searched.output


async def test_nothing_found_and_what_is_behind_it_is_said(trimem: Terminal, code: FakeCode) -> None:
    code.fake.act = answering(pb.SearchCodeResponse(degraded=True))
    found = await trimem("search", "x")
    assert (found.status, found.output) == (0, "")
    assert "nothing found" in found.problems
    assert "by names alone" in found.problems
    assert "there may be better hits" in found.problems


async def test_repositories_and_files_are_listed_and_deleted(trimem: Terminal, code: FakeCode) -> None:
    code.repositories = {"ours": {"a.py": b"", "b.py": b""}}
    listed = await trimem("list")
    assert "ours" in listed.output
    assert [json.loads(line)["path"] for line in (await trimem("files", "ours", "--json")).output.splitlines()] == [
        "a.py", "b.py",
    ]  # fmt: skip
    refused = await trimem("delete", "ours")
    assert (refused.status, "--yes" in refused.problems) == (2, True)
    assert "ours" in code.repositories
    assert (await trimem("delete", "ours", "--yes")).status == 0
    assert code.repositories == {}
    assert (await trimem("delete", "ours", "--yes")).status == 3


CALLS = (("g", "f", graph_pb.EDGE_CONFIDENCE_RESOLVED, 7, 9), ("h", "g", graph_pb.EDGE_CONFIDENCE_INFERRED, 5))


def graph_of(prefix: str = "", unnamed: bool = False, calls: Sequence[tuple[Any, ...]] = CALLS) -> Callable[..., Any]:
    """A graph in which m.f is called by m.g, which m.h calls; of another f nobody knows."""

    def node(label: str, kind: str = "function", namespace: str = "code/ours") -> graph_pb.Node:
        made = graph_pb.Node(id=label, type=kind, label=f"{prefix}m.{label}", namespace=namespace)
        made.properties.update({"path": f"{prefix}{label}.py", "start_line": 3})
        return made

    def edge(source: str, target: str, confidence: Any, *lines: int) -> graph_pb.Edge:
        made = graph_pb.Edge(source_id=source, target_id=target, type=f"{prefix}calls", confidence=confidence)
        made.properties.update({"lines": list(lines)})
        return made

    async def act(request: Any, _context: Any) -> Any:
        if isinstance(request, graph_pb.SearchNodesRequest):
            outside, other = node("e.f", "external"), node("f", namespace="people")
            nodes = [outside, other, node("f"), node("f.of")] if not unnamed else [node("form")]
            return graph_pb.SearchNodesResponse(nodes=nodes)
        nodes = [node("f"), node("g"), node("h")] if "f" in request.start_ids else [node("e.f", "external")]
        return graph_pb.TraverseResponse(
            nodes=[graph_pb.TraversedNode(node=one, depth=depth) for depth, one in enumerate(nodes)],
            edges=[edge(*one) for one in calls],
            complete=False,
        )

    return act


async def test_callers_of_all_definitions_of_a_name(trimem: Terminal, code: FakeCode) -> None:
    code.fake.act = graph_of()
    found = await trimem("callers", "f", "--depth", "2", "--repository", "ours")
    assert found.status == 0
    assert found.output.splitlines() == [
        "m.f  function f.py:3  ours",
        "  m.g  g.py:7, g.py:9  resolved",
        "    m.h  h.py:5  inferred",
        "m.e.f  external e.f.py:3  ours",
        "  no callers are known",
    ]
    assert "there are more" in found.problems
    search, first, _second = code.fake.requests
    assert (search.query, search.namespace) == ("f", "code/ours")
    assert (list(first.start_ids), first.direction, list(first.edge_types), first.max_depth) == (["f"], 2, ["calls"], 2)
    [line, _] = (await trimem("callers", "f", "--depth", "2", "--json")).output.splitlines()
    document = json.loads(line)
    assert [(one["node"]["id"], one["depth"], one["lines"], one["confidence"]) for one in document["callers"]] == [
        ("g", 1, [7, 9], "RESOLVED"),
        ("h", 2, [5], "INFERRED"),
    ]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (["f f"], ["  m.f  f.py:1  resolved"]),
        (["g f", "f f"], ["  m.f  f.py:1  resolved", "  m.g  g.py:1  resolved"]),
        (["g f", "f g"], ["  m.g  g.py:1  resolved", "    m.f  f.py:1  resolved"]),
    ],
)
async def test_who_calls_itself_at_once_or_by_others_is_a_caller(
    trimem: Terminal, code: FakeCode, pairs: list[str], expected: list[str]
) -> None:
    code.fake.act = graph_of(calls=[(*pair.split(), graph_pb.EDGE_CONFIDENCE_RESOLVED, 1) for pair in pairs])
    found = await trimem("callers", "f", "-n", "1")
    assert found.output.splitlines() == ["m.f  function f.py:3  ours", *expected]
    callers = (await trimem("callers", "f", "-n", "1", "--json")).document()["callers"]
    assert [f"{'  ' * one['depth']}{one['node']['label']}" for one in callers] == [
        line[: line.index("  ", line.index("m."))] for line in expected
    ]
    drawn = await trimem("graph", "f", "-n", "1", "--direction", "in")
    assert drawn.output.count("<- calls") == len(expected)


@pytest.mark.parametrize("name", ["C::send", "net::C::send", "net.C.send"])
async def test_a_name_may_be_written_as_in_its_language(trimem: Terminal, code: FakeCode, name: str) -> None:
    label = "net.C.send"
    code.fake.act = nodes_called(label, "net.C.sends", "ernet.C.send")
    assert (await trimem("callers", name)).output.splitlines()[0] == f"{label}  method"
    assert code.fake.requests[0].query == name.replace("::", ".")


async def test_a_file_is_named_by_the_end_of_its_path(trimem: Terminal, code: FakeCode) -> None:
    code.fake.act = nodes_called("src/borders.py", "src/shop/orders.py", "orders.pyi")
    for name in ("orders.py", "shop/orders.py", "src/shop/orders.py"):
        assert (await trimem("graph", name)).output == "src/shop/orders.py\n"


def nodes_called(*labels: str) -> Callable[..., Any]:
    """A graph without edges."""
    made = {label: graph_pb.Node(id=label, type="method", label=label, namespace="code/") for label in labels}

    async def act(request: Any, _context: Any) -> Any:
        if isinstance(request, graph_pb.SearchNodesRequest):
            return graph_pb.SearchNodesResponse(nodes=made.values())
        return graph_pb.TraverseResponse(
            nodes=[graph_pb.TraversedNode(node=made[one]) for one in request.start_ids], complete=True
        )

    return act


async def test_nodes_of_others_hide_no_code(trimem: Terminal, code: FakeCode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimem.client.cli.code_graph._LOOKED_AT", 2)  # of which the first are not code
    code.fake.act = graph_of()
    assert "m.f  function f.py:3  ours" in (await trimem("callers", "f", "--max-nodes", "7")).output
    assert code.fake.requests[-1].max_nodes == 7


async def test_names_are_looked_for_among_many_and_not_among_all(
    trimem: Terminal, code: FakeCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    code.fake.act = graph_of()
    monkeypatch.setattr("trimem.client.cli.code_graph._PASSED", 2)
    found = await trimem("callers", "f")
    assert found.output.startswith("m.e.f  external")
    assert "only the first 2 names like that were looked at: --repository" in found.problems
    monkeypatch.setattr("trimem.client.cli.code_graph._PASSED", 9)
    monkeypatch.setattr("trimem.client.cli.code_graph._LOOKED_AT", 2)
    assert "2 or more are called f: the first 1" in (await trimem("callers", "f", "-n", "1")).problems


async def test_lines_end_where_they_are_counted(trimem: Terminal, code: FakeCode) -> None:
    answer = hits("a\n\x0c\nb\x85c\u2028d\n")
    code.fake.act = answering(pb.GetChunkResponse(chunk=answer.hits[0].chunk))
    lines = (await trimem("show", "c1")).output.splitlines()
    assert [line.split() for line in lines[1:]] == [["9", "a"], ["10"], ["11", "b", "c", "d"]]


async def test_a_name_that_is_not_there_is_exit_status_3_with_similar_ones(trimem: Terminal, code: FakeCode) -> None:
    code.fake.act = graph_of(unnamed=True)
    for command in ("callers", "graph"):
        ended = await trimem(command, "f")
        assert (ended.status, ended.output) == (3, "")
        assert "nothing in the graph is called f; there are m.form" in ended.problems


async def test_a_graph_in_three_formats(trimem: Terminal, code: FakeCode) -> None:
    code.fake.act = graph_of()
    text = await trimem("graph", "f", "--edges", "calls", "--depth", "2", "--direction", "in", "--sure", "inferred")
    assert text.output.splitlines() == [
        "m.f  f.py:3",
        "  <- calls m.g  g.py:3",
        "    <- calls m.h  h.py:3  (inferred)",
    ]
    request = code.fake.requests[-1]
    assert (list(request.start_ids), request.direction, request.min_confidence) == (["f", "e.f"], 2, 2)
    assert (await trimem("graph", "f", "--format", "mermaid")).output.startswith("flowchart LR\n")
    assert (await trimem("graph", "f", "--format", "dot")).output.endswith("}\n")


async def test_every_command_has_examples(trimem: Terminal) -> None:
    for command in ("index", "search", "callers", "graph", "list", "files", "show", "delete"):
        helped = await trimem(command, "--help")
        assert helped.status == 0
        assert re.search(r"Examples:\n +trimem code ", helped.output)
