"""Code and graph through both clients, against a server that keeps files."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from servicekit import errors as server_errors
from tests.fixtures_client import Caller, answering, caller
from tests.fixtures_client_code import FakeCode, code_services, hash_of
from tests.fixtures_gateway import within_patience
from trimem.client import (
    AsyncTrimemClient,
    CodeKind,
    CodeSearchMode,
    EdgeConfidence,
    EdgeDirection,
    FailedPreconditionError,
    FileToIndex,
    IndexResult,
    InvalidArgumentError,
    NewEdge,
    NewNode,
    NotFoundError,
    ResourceExhaustedError,
    UnchangedFile,
)
from trimem.client.indexing import MOST_BYTES, MOST_FILES
from trimem.store.v1 import code_service_pb2 as pb
from trimem.store.v1 import graph_service_pb2 as graph_pb

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def code() -> FakeCode:
    return FakeCode()


@pytest_asyncio.fixture
async def target(code: FakeCode) -> AsyncIterator[str]:
    async with code_services(code) as address:
        yield address


@pytest_asyncio.fixture(params=["sync", "async"])
async def call(request: pytest.FixtureRequest, target: str) -> AsyncIterator[Caller]:
    async with caller(request.param, target) as made:
        yield made


def files(count: int) -> Iterator[tuple[str, bytes]]:
    return ((f"src/{n:04}.py", f"n = {n}\n".encode()) for n in range(count))


@pytest.mark.parametrize("count", [0, 1, MOST_FILES, 3 * MOST_FILES + 1])
async def test_all_files_are_stored_and_committed(call: Caller, code: FakeCode, count: int) -> None:
    code.repositories["ours"] = {"old.py": b"gone"}
    result = await call("index_files", "ours", files(count))
    assert result == IndexResult(stored=count, deleted=1, chunks=2 * count, embedded=count, nodes=count, edges=count)
    assert code.repositories["ours"] == dict(files(count))
    assert result.settled == count


async def test_the_second_time_nothing_is_sent_that_is_known(call: Caller, code: FakeCode) -> None:
    await call("index_files", "ours", files(100))
    code.calls.clear()
    known = {file.path: file.content_hash for file in await call("list_files", "ours")}
    assert len(known) == 100
    result = await call("index_files", "ours", (UnchangedFile(path, known[path]) for path, _ in files(100)))
    assert result == IndexResult(unchanged=100, nodes=100, edges=100)
    assert [len(messages) for messages in code.calls] == [101]


async def test_one_changed_file_among_many_is_the_only_one_that_is_stored(call: Caller, code: FakeCode) -> None:
    await call("index_files", "ours", files(100))
    changed = [(path, b"changed" if path.endswith("7.py") else content) for path, content in files(100)]
    result = await call("index_files", "ours", changed)
    assert (result.stored, result.unchanged, result.failed) == (10, 90, 0)


async def test_without_a_commit_nothing_is_deleted(call: Caller, code: FakeCode) -> None:
    code.repositories["ours"] = {"old.py": b"kept"}
    result = await call("index_files", "ours", files(2), commit=False)
    assert (result.stored, result.deleted, result.nodes) == (2, 0, 0)
    assert len(code.repositories["ours"]) == 3
    result = await call("index_files", "ours", files(2), keep_others=True)
    assert (result.unchanged, result.deleted, result.nodes) == (2, 0, 3)


async def test_a_file_that_is_refused_stops_no_other_and_keeps_its_older_content(call: Caller, code: FakeCode) -> None:
    code.repositories["ours"] = {"src/0001.py": b"old"}
    code.refused = {"src/0001.py", "src/0003.py"}
    result = await call("index_files", "ours", files(5))
    assert (result.stored, result.unchanged, result.failed, result.deleted) == (3, 0, 2, 0)
    assert [one.path for one in result.results] == ["src/0001.py", "src/0003.py"]
    assert all(isinstance(one.error, InvalidArgumentError) for one in result.results)
    assert code.repositories["ours"]["src/0001.py"] == b"old"


async def test_an_unchanged_file_that_is_not_stored_like_that_fails(call: Caller, code: FakeCode) -> None:
    result = await call("index_files", "ours", [UnchangedFile("a.py", hash_of(b"a")), ("b.py", b"b")])
    assert (result.stored, result.unchanged, result.failed) == (1, 0, 1)
    assert [one.path for one in result.results] == ["a.py"]


async def test_a_path_that_no_message_can_hold_fails_alone(call: Caller) -> None:
    result = await call("index_files", "ours", [("a\udcff.py", b"a"), ("b.py", b"b")])
    assert (result.stored, result.failed) == (1, 1)
    assert isinstance(result.results[0].error, InvalidArgumentError)


async def test_a_file_that_is_larger_than_the_server_takes_fails_alone(call: Caller) -> None:
    large = b"x" * 17 * 1024 * 1024
    result = await call("index_files", "ours", [("a.py", b"a"), ("large.py", large), ("b.py", b"b")])
    assert (result.stored, result.failed) == (2, 1)
    assert isinstance(result.results[0].error, ResourceExhaustedError)


async def test_of_two_files_of_one_path_the_first_counts(call: Caller, code: FakeCode) -> None:
    result = await call("index_files", "ours", [("a.py", b"1"), ("a.py", b"2"), UnchangedFile("a.py", "0")])
    assert (result.stored, result.unchanged, result.failed) == (1, 0, 2)
    assert [one.path for one in result.results] == ["a.py", "a.py"]
    assert code.repositories["ours"] == {"a.py": b"1"}


async def test_calls_that_fail_for_a_passing_reason_are_made_again(call: Caller, code: FakeCode) -> None:
    away = server_errors.UnavailableError("the embedder cannot be reached", retry_after=0.001)
    code.failures = [None, away, away, None, away]
    result = await call("index_files", "ours", files(3 * MOST_FILES))
    assert result.stored == 3 * MOST_FILES
    assert len(code.repositories["ours"]) == 3 * MOST_FILES
    assert len(code.calls) == 4 + 3


async def test_what_concerns_all_files_raises_and_leaves_what_is_stored(call: Caller, code: FakeCode) -> None:
    code.failures = [None, server_errors.FailedPreconditionError("another model")]
    told: list[int] = []
    with pytest.raises(FailedPreconditionError, match="another model"):
        await call("index_files", "ours", files(200), on_progress=lambda result: told.append(result.stored))
    assert told == [MOST_FILES]
    assert len(code.repositories["ours"]) == MOST_FILES


async def test_an_error_of_the_source_comes_out_and_nothing_is_committed(call: Caller, code: FakeCode) -> None:
    code.repositories["ours"] = {"old.py": b"kept"}

    def source() -> Iterator[FileToIndex]:
        yield from files(MOST_FILES + 1)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await call("index_files", "ours", source())
    assert "old.py" in code.repositories["ours"]


async def test_files_are_read_no_faster_than_they_are_stored(call: Caller, code: FakeCode) -> None:
    code.gate = asyncio.Event()
    read = 0

    def source() -> Iterator[FileToIndex]:
        nonlocal read
        for file in files(10 * MOST_FILES):
            read += 1
            yield file

    indexing = asyncio.create_task(call("index_files", "ours", source()))
    async with asyncio.timeout(20):
        while not code.calls:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # time to read on, if it would
    assert read == MOST_FILES + 1
    code.gate.set()
    assert (await within_patience(indexing)).stored == 10 * MOST_FILES


async def test_calls_are_bounded_by_bytes_too(call: Caller, code: FakeCode) -> None:
    await call("index_files", "ours", [(f"{n}.py", bytes(MOST_BYTES // 2 - 100)) for n in range(5)])
    assert [len(messages) for messages in code.calls] == [2, 2, 1, 6]


async def test_an_async_client_takes_files_that_come_asynchronously(target: str, code: FakeCode) -> None:
    async def source() -> AsyncIterator[FileToIndex]:
        for file in files(10):
            await asyncio.sleep(0)
            yield file

    async with AsyncTrimemClient(target) as client:
        assert (await client.index_files("ours", source())).stored == 10


async def test_repositories_are_listed_and_deleted(call: Caller, code: FakeCode) -> None:
    await call("index_files", "ours", files(7))
    [repository] = await call("list_repositories")
    assert (repository.name, repository.files, repository.commit_time) == ("ours", 7, None)
    assert (await call("delete_repository", "ours")).files == 7
    with pytest.raises(NotFoundError):
        await call("delete_repository", "ours")


async def test_a_delete_whose_answer_got_lost_has_deleted(call: Caller, code: FakeCode) -> None:
    code.repositories["ours"] = {}

    async def lose(_request: Any, _context: Any) -> Any:
        raise server_errors.UnavailableError("gone", retry_after=0.001)

    code.fake.act = lose
    assert (await call("delete_repository", "ours")).files == 0


async def test_code_is_searched_page_by_page(call: Caller, code: FakeCode) -> None:
    async def act(request: pb.SearchCodeRequest, _context: Any) -> pb.SearchCodeResponse:
        chunk = pb.CodeChunk(id="c", path="a.py", kind=pb.CODE_KIND_METHOD, symbols=["A.f"], start_line=3)
        snippet = pb.Snippet(start_line=4, lines=["x", "y"], matching_lines=[5])
        return pb.SearchCodeResponse(
            hits=[pb.CodeHit(chunk=chunk, score=0.75, names_score=2.5, snippet=snippet)],
            mode=pb.CODE_SEARCH_MODE_NAMES,
            degraded=True,
            next_page_token="" if request.page_token else "more",
        )

    code.fake.act = act
    kinds = [CodeKind.METHOD, CodeKind.CLASS]
    options = {"mode": CodeSearchMode.CODE, "repository": "r", "path": "src/**", "languages": ["go"], "kinds": kinds}
    page = await call("search_code", "retry", page_size=3, **options)
    [hit] = page.hits
    assert (hit.chunk.kind, hit.chunk.symbols, hit.score, hit.names_score) == (CodeKind.METHOD, ("A.f",), 0.75, 2.5)
    assert (hit.snippet.start_line, hit.snippet.lines, hit.snippet.matching_lines) == (4, ("x", "y"), (5,))
    assert (page.mode, page.degraded, page.complete) == (CodeSearchMode.NAMES, True, False)
    expected = pb.SearchCodeRequest(
        query="retry",
        mode=pb.CODE_SEARCH_MODE_CODE,
        repository="r",
        path="src/**",
        languages=["go"],
        kinds=[pb.CODE_KIND_METHOD, pb.CODE_KIND_CLASS],
        page_size=3,
    )
    assert code.fake.requests == [expected]
    assert len(await call("search_code_pages", "retry")) == 2


async def test_a_chunk_is_got(call: Caller, code: FakeCode) -> None:
    code.fake.act = answering(pb.GetChunkResponse(chunk=pb.CodeChunk(id="c", content="x = 1", parameters=["a", "b"])))
    chunk = await call("get_chunk", "c")
    assert (chunk.content, chunk.parameters, chunk.kind) == ("x = 1", ("a", "b"), None)


def node(label: str) -> graph_pb.Node:
    made = graph_pb.Node(id=label, type="function", label=label, namespace="n")
    made.properties.update({"line": 3})
    made.create_time.FromDatetime(NOON)
    return made


async def test_nodes_are_found_page_by_page(call: Caller, code: FakeCode) -> None:
    async def act(request: graph_pb.SearchNodesRequest, _context: Any) -> graph_pb.SearchNodesResponse:
        return graph_pb.SearchNodesResponse(
            nodes=[node("a"), node("b")], next_page_token="" if request.page_token else "more"
        )

    code.fake.act = act
    found = await call("search_nodes", "parse", namespace="", types=["function"], properties_filter={"line": 3})
    assert [one.label for one in found] == ["a", "b", "a", "b"]
    assert (found[0].properties, found[0].create_time) == ({"line": 3}, NOON)
    request = code.fake.requests[0]
    assert request.HasField("namespace"), "the empty namespace is one, too"
    assert (request.types, request.properties_filter["line"]) == (["function"], 3)


async def test_edges_are_followed(call: Caller, code: FakeCode) -> None:
    edge = graph_pb.Edge(
        id="e", source_id="b", target_id="a", type="calls", confidence=graph_pb.EDGE_CONFIDENCE_INFERRED
    )
    edge.properties.update({"lines": [3, 4]})
    nodes = [graph_pb.TraversedNode(node=node("a")), graph_pb.TraversedNode(node=node("b"), depth=1)]
    code.fake.act = answering(graph_pb.TraverseResponse(nodes=nodes, edges=[edge], complete=True))
    found = await call(
        "traverse", "a", direction=EdgeDirection.IN, edge_types=["calls"], min_confidence=EdgeConfidence.INFERRED
    )
    assert [(one.node.id, one.depth) for one in found.nodes] == [("a", 0), ("b", 1)]
    assert (found.edges[0].confidence, found.edges[0].properties) == (EdgeConfidence.INFERRED, {"lines": [3, 4]})
    expected = graph_pb.TraverseRequest(
        start_ids=["a"],
        direction=graph_pb.EDGE_DIRECTION_IN,
        edge_types=["calls"],
        min_confidence=graph_pb.EDGE_CONFIDENCE_INFERRED,
    )
    assert code.fake.requests == [expected]
    code.fake.act = answering(graph_pb.FindPathResponse(nodes=[node("a"), node("b")], edges=[edge], complete=True))
    path = await call("find_path", "a", "b", max_depth=5)
    assert ([one.id for one in path.nodes], len(path.edges), path.complete) == (["a", "b"], 1, True)
    assert code.fake.requests[1].max_depth == 5


async def test_nodes_and_edges_are_written_and_deleted(call: Caller, code: FakeCode) -> None:
    code.fake.act = answering(graph_pb.UpsertNodesResponse(nodes=[node("a")]))
    [stored] = await call("upsert_nodes", [NewNode(type="person", label="Ada", properties={"born": 1815})])
    assert stored.id == "a"
    [sent] = code.fake.requests[0].nodes
    assert len(sent.id) == 36, "an id, so that the call may be made again"
    assert (sent.type, sent.label, sent.properties["born"]) == ("person", "Ada", 1815)
    code.fake.act = answering(graph_pb.UpsertEdgesResponse(edges=[graph_pb.Edge(id="e")]))
    [edge] = await call("upsert_edges", [NewEdge(source_id="a", target_id="b", type="knows")])
    assert (edge.id, edge.confidence) == ("e", None)
    code.fake.act = answering(graph_pb.DeleteNodesResponse(node_count=2, edge_count=1))
    gone = await call("delete_nodes", ["a", "b"])
    assert (gone.nodes, gone.edges) == (2, 1)
    with pytest.raises(InvalidArgumentError, match=r"nodes\[1\]\.properties\.n: is an integer beyond"):
        await call("upsert_nodes", [NewNode(type="t"), NewNode(type="t", properties={"n": 2**60})])
