"""`trimem code` against a service that keeps files: what it sends, prints and ends with."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from servicekit.errors import FailedPreconditionError
from tests.fixtures_client_code import FakeCode, code_services
from trimem.client.cli.app import run
from trimem.client.cli.code_reading import Folder
from trimem.client.cli.code_sending import Sending
from trimem.client.cli.session import Session
from trimem.client.indexing import MOST_FILES
from trimem.store.v1 import code_service_pb2 as pb
from trimem.store.v1 import graph_service_pb2 as graph_pb

ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202eevil"


@dataclass(frozen=True)
class Ended:
    status: int
    output: str
    problems: str

    def document(self) -> Any:
        return json.loads(self.output)


class Terminal:
    """Runs `trimem code` in a thread beside the service."""

    def __init__(self, target: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._target = target
        self._capsys = capsys

    async def __call__(self, *arguments: str) -> Ended:
        line = ["--url", self._target, "code", *arguments]
        status = await asyncio.to_thread(run, line, Session())
        output, problems = self._capsys.readouterr()
        return Ended(status, output, problems)


@pytest.fixture
def code() -> FakeCode:
    return FakeCode()


@pytest_asyncio.fixture
async def trimem(code: FakeCode, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Terminal]:
    with capture_logs():  # of the server, which would speak on our output
        async with code_services(code) as target:
            yield Terminal(target, capsys)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder of a repository, called `ours`."""
    folder = tmp_path / "ours"
    for path, content in {"a.py": "a = 1\n", "src/b.go": "package b\n", "node_modules/x.js": "x"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


async def test_a_folder_is_indexed_and_what_is_gone_is_deleted(trimem: Terminal, code: FakeCode, top: Path) -> None:
    first = await trimem("index", str(top))
    assert (first.status, first.problems) == (0, "")
    assert first.output.replace(" (--all takes vendored ones)", "").splitlines() == [
        "ours: 2 files stored (4 chunks, 2 of them embedded), 0 unchanged, 0 deleted, 0 failed; skipped 1 vendored",
        "the graph has 2 nodes and 2 edges",
    ]
    assert code.repositories == {"ours": {"a.py": b"a = 1\n", "src/b.go": b"package b\n"}}
    (top / "a.py").unlink()
    (top / "c.py").write_text("c")
    again = (await trimem("index", str(top), "--json")).document()
    assert (again["stored"], again["unchanged"], again["deleted"], again["failed"]) == (1, 1, 1, 0)
    assert again["skipped"] == {"vendored": 1}
    assert set(code.repositories["ours"]) == {"c.py", "src/b.go"}


async def test_the_second_run_sends_no_content(trimem: Terminal, code: FakeCode, top: Path) -> None:
    await trimem("index", str(top))
    code.calls.clear()
    assert (await trimem("index", str(top))).status == 0
    assert [message.WhichOneof("item") for [*messages] in code.calls for message in messages] == [
        "unchanged", "unchanged", "commit",
    ]  # fmt: skip


async def test_a_run_that_was_broken_off_goes_on(trimem: Terminal, code: FakeCode, top: Path) -> None:
    for number in range(2 * MOST_FILES):
        (top / f"{number}.py").write_text(str(number))
    code.failures = [None, FailedPreconditionError("another model made the stored vectors")]
    broken = await trimem("index", str(top))
    assert broken.status == 1
    assert "another model" in broken.problems
    assert f"broken off after ours: {MOST_FILES} files stored" in broken.problems
    again = (await trimem("index", str(top), "--json")).document()
    assert (again["stored"], again["unchanged"]) == (MOST_FILES + 2, MOST_FILES)


async def test_without_a_commit_or_with_others_kept_nothing_is_deleted(
    trimem: Terminal, code: FakeCode, top: Path
) -> None:
    code.repositories["r"] = {"old.py": b"old"}
    assert (await trimem("index", str(top), "-r", "r", "--no-commit", "--include", "*.go")).status == 0
    assert set(code.repositories["r"]) == {"old.py", "src/b.go"}
    assert (await trimem("index", str(top), "-r", "r", "--keep-others")).status == 0
    assert set(code.repositories["r"]) == {"old.py", "src/b.go", "a.py"}
    assert (await trimem("index", str(top), "-r", "r", "--exclude", "src/", "--all")).status == 0
    assert set(code.repositories["r"]) == {"a.py", "node_modules/x.js"}


async def test_a_dry_run_asks_nobody(trimem: Terminal, code: FakeCode, top: Path) -> None:
    (top / "link").symlink_to("a.py")
    dry = await trimem("index", str(top), "--dry-run")
    assert dry.output.splitlines() == ["a.py", "src/b.go"]
    assert "trimem: link: symbolic link\n" in dry.problems
    document = (await trimem("index", str(top), "--dry-run", "--json")).document()
    assert document["skipped"] == {"link": "symbolic link", "node_modules/": "vendored"}
    assert code.calls == []


async def test_files_that_fail_are_told_one_by_one_and_keep_what_is_stored(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "odd.py").write_text("odd")
    (top / "locked.py").write_text("locked")
    (top / "binary.py").write_bytes(b"x" * 9000 + b"\0")
    (top / os.fsdecode(b"\xff.py")).touch()
    code.repositories["ours"] = {"odd.py": b"old", "locked.py": b"old", "binary.py": b"old"}
    code.refused = {"odd.py"}
    read = Folder.read

    def deny(self: Folder, path: str, most: int) -> bytes:
        if path == "locked.py":
            raise PermissionError(13, "Permission denied")
        return read(self, path, most)

    monkeypatch.setattr(Folder, "read", deny)
    ended = await trimem("index", str(top), "--json")
    assert ended.status == 1
    document = json.loads(ended.output)
    assert (document["stored"], document["failed"]) == (2, 3)
    assert {one["path"]: one["reason"] for one in document["problems"]} == {
        "\\xff.py": "the name is not UTF-8",
        "locked.py": "cannot be read: Permission denied",
        "odd.py": "file.content: is odd",
    }
    assert document["skipped"]["binary"] == 1
    assert sorted(ended.problems.splitlines()) == [
        "trimem: \\xff.py: the name is not UTF-8",
        "trimem: locked.py: cannot be read: Permission denied",
        "trimem: odd.py: file.content: is odd",
    ]
    assert code.repositories["ours"]["odd.py"] == code.repositories["ours"]["locked.py"] == b"old"
    assert "binary.py" not in code.repositories["ours"]


async def test_files_of_a_folder_that_cannot_be_read_are_kept(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trimem("index", str(top))
    scandir = os.scandir

    def deny(descriptor: int) -> Any:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "src":
            raise PermissionError(13, "Permission denied")
        return scandir(descriptor)

    monkeypatch.setattr("trimem.client.cli.code_walking.os.scandir", deny)
    ended = await trimem("index", str(top))
    assert ended.status == 1
    assert ended.problems == "trimem: src/: cannot be read: Permission denied\n"
    assert set(code.repositories["ours"]) == {"a.py", "src/b.go"}


async def test_what_vanishes_or_becomes_a_link_before_it_is_read_is_not_sent(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top.parent / "secret").mkdir()
    (top.parent / "secret" / "b.go").write_text("secret")
    sending = Sending.run

    def exchange(self: Sending, *arguments: Any, **options: Any) -> None:
        (top / "a.py").unlink()
        (top / "src").rename(top / "moved")
        (top / "src").symlink_to(top.parent / "secret")
        sending(self, *arguments, **options)

    monkeypatch.setattr(Sending, "run", exchange)
    ended = await trimem("index", str(top))
    assert ended.status == 0
    assert "trimem: a.py: vanished before it was read\n" in ended.problems
    assert "trimem: src/b.go: a symbolic link is not followed\n" in ended.problems
    assert code.repositories["ours"] == {}


async def test_a_terminal_sees_files_a_second_and_problems_above_them(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    code.refused = {"a.py"}
    ended = await trimem("index", str(top))
    assert "files/s" in ended.problems
    assert "trimem: a.py: file.content: is odd" in ended.problems
    assert "files/s" not in ended.output


async def test_an_empty_folder_does_not_empty_a_repository(trimem: Terminal, code: FakeCode, tmp_path: Path) -> None:
    code.repositories["ours"] = {"a.py": b"a"}
    (tmp_path / "empty").mkdir()
    ended = await trimem("index", str(tmp_path / "empty"), "-r", "ours")
    assert ended.status == 2
    assert "1 files are stored as ours" in ended.problems
    assert set(code.repositories["ours"]) == {"a.py"}


async def test_a_folder_that_is_none_is_exit_status_2(trimem: Terminal, top: Path) -> None:
    for path in (top / "a.py", top / "nowhere"):
        ended = await trimem("index", str(path))
        assert ended.status == 2
        assert ended.problems.count("\n") == 1


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


def answering(answer: Any) -> Callable[..., Any]:
    async def act(_request: Any, _context: Any) -> Any:
        return answer

    return act


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


def graph_of(prefix: str = "", unnamed: bool = False) -> Callable[..., Any]:
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
            edges=[
                edge("g", "f", graph_pb.EDGE_CONFIDENCE_RESOLVED, 7, 9),
                edge("h", "g", graph_pb.EDGE_CONFIDENCE_INFERRED, 5),
            ],
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
