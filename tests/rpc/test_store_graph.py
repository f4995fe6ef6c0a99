"""GraphService over gRPC: what callers write, find and follow, and what they are told when it is wrong."""

import random
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict

from store.graph import EdgeConfidence
from store.repositories.graph import GraphRepository
from store.servicers import graph_conversion, graph_servicer
from store.use_cases.event_rules import MAX_LEVELS
from tests.conftest import NewDatabase
from tests.fixtures_graph import edge, node, refusal, served_graph
from trimem.store.v1 import graph_service_pb2 as pb
from trimem.store.v1 import graph_service_pb2_grpc as rpc

ID = [str(UUID(int=number)) for number in range(300)]
Stub: TypeAlias = "rpc.GraphServiceAsyncStub"


class Served(NamedTuple):
    """The service, and what is behind it."""

    stub: Stub
    graph: GraphRepository


@pytest_asyncio.fixture
async def served(new_database: NewDatabase) -> AsyncIterator[Served]:
    """GraphService with an empty graph."""
    async with served_graph(new_database) as (stub, graph):
        yield Served(stub, graph)


def nodes(*given: dict[str, Any]) -> pb.UpsertNodesRequest:
    """Nodes, as JSON, of some type."""
    return ParseDict({"nodes": [{"type": "t"} | one for one in given]}, pb.UpsertNodesRequest())


def edges(*given: dict[str, Any]) -> pb.UpsertEdgesRequest:
    """Edges, as JSON, of some type."""
    return ParseDict({"edges": [{"type": "t"} | one for one in given]}, pb.UpsertEdgesRequest())


async def test_a_graph_is_written_found_followed_and_deleted(served: Served) -> None:
    stub = served.stub
    written = await stub.UpsertNodes(
        nodes(
            {"id": ID[1], "type": "person", "label": "Ada Lovelace", "namespace": "people", "properties": {"n": 1}},
            {"id": ID[2], "type": "person", "label": "Charles Babbage"},
            {"type": "engine", "label": "Analytical Engine"},
        )
    )
    engine = written.nodes[2].id
    assert UUID(engine).version == 7
    assert written.nodes[0].create_time == written.nodes[0].update_time
    knows = {"sourceId": ID[1], "targetId": ID[2], "type": "knows", "confidence": "EDGE_CONFIDENCE_INFERRED"}
    builds = {"sourceId": ID[2], "targetId": engine, "type": "builds", "properties": {"since": 1837}}
    wired = await stub.UpsertEdges(edges(knows, builds, knows))
    again = await stub.UpsertEdges(edges(builds))

    assert wired.edges[0] == wired.edges[2]
    assert [again.edges[0]] == [wired.edges[1]]
    assert (await stub.GetNode(pb.GetNodeRequest(id=ID[1].upper()))).node == written.nodes[0]
    found = await stub.SearchNodes(pb.SearchNodesRequest(query=" engine\n", types=["engine"]))
    assert list(found.nodes) == [written.nodes[2]]
    walked = await stub.Traverse(pb.TraverseRequest(start_ids=[ID[1], ID[1]], max_depth=9))
    assert [(one.node.label, one.depth) for one in walked.nodes] == [
        ("Ada Lovelace", 0), ("Charles Babbage", 1), ("Analytical Engine", 2),
    ]  # fmt: skip
    assert list(walked.edges) == list(wired.edges[:2])
    assert walked.complete
    assert len((await stub.Traverse(pb.TraverseRequest(start_ids=[ID[1]]))).nodes) == 2
    path = await stub.FindPath(pb.FindPathRequest(source_id=engine, target_id=ID[1], direction=pb.EDGE_DIRECTION_IN))
    assert [one.id for one in path.nodes] == [engine, ID[2], ID[1]]
    assert [one.type for one in path.edges] == ["builds", "knows"]
    assert await stub.DeleteNodes(pb.DeleteNodesRequest(ids=[ID[2], ID[2], ID[9]])) == pb.DeleteNodesResponse(
        node_count=1, edge_count=2
    )
    gone = await stub.DeleteNodes(pb.DeleteNodesRequest(namespace="people"))
    assert (gone.node_count, gone.edge_count) == (1, 0)
    assert [one.id for one in (await stub.SearchNodes(pb.SearchNodesRequest())).nodes] == [engine]


async def test_who_calls_a_function(served: Served) -> None:
    labels = ["json.decoder.JSONDecoder.decode", "json.decoder.JSONDecoder.raw_decode", "json.loads", "app.main"]
    there = [node(number, label, type="function") for number, label in enumerate(labels, 1)]
    sure = EdgeConfidence.RESOLVED
    calls = [edge(3, 1, confidence=sure), edge(1, 2, confidence=sure), edge(4, 3, confidence=EdgeConfidence.INFERRED)]
    await served.graph.replace_namespace("code/std", there, calls)

    async def callers(name: str, depth: int = 1) -> list[str]:
        found = await served.stub.SearchNodes(pb.SearchNodesRequest(query=name, namespace="code/std", page_size=1))
        walked = await served.stub.Traverse(
            pb.TraverseRequest(
                start_ids=[found.nodes[0].id], direction=pb.EDGE_DIRECTION_IN, edge_types=["calls"], max_depth=depth
            )
        )
        return [one.node.label for one in walked.nodes]

    assert await callers("JSONDecoder.decode") == [labels[0], labels[2]]
    assert await callers("decode", 9) == [labels[0], labels[2], labels[3]]
    assert await callers("json.loads") == [labels[2], labels[3]]


async def test_pages_follow_their_tokens_and_no_others(served: Served) -> None:
    stub = served.stub
    await stub.UpsertNodes(nodes(*[{"id": ID[one], "label": f"w{one % 4} x"} for one in range(1, 20)]))

    for query in ("", "x"):
        seen: list[str] = []
        page = pb.SearchNodesResponse()
        while not seen or page.next_page_token:
            request = pb.SearchNodesRequest(query=query, page_size=5, page_token=page.next_page_token)
            page = await stub.SearchNodes(request)
            seen += [one.id for one in page.nodes]
        assert sorted(seen) == ID[1:20]
        token = (await stub.SearchNodes(pb.SearchNodesRequest(query=query, page_size=5))).next_page_token
        for other in ({"query": "w1"}, {"query": query, "types": ["t"]}, {"query": query, "namespace": ""}):
            call = stub.SearchNodes(pb.SearchNodesRequest(page_token=token, **other))
            assert await refusal(call) == ("INVALID_ARGUMENT", "page_token")
        for end in range(0, len(token), 7):
            call = stub.SearchNodes(pb.SearchNodesRequest(query=query, page_token=token[:end] + "x" + token[end:]))
            assert await refusal(call) == ("INVALID_ARGUMENT", "page_token")


def nested(levels: int) -> dict[str, Any]:
    """Objects in each other."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"k": value}
    return value


BAD_NODES: list[tuple[dict[str, Any], str]] = [
    ({"type": ""}, "type"),
    ({"type": "two words"}, "type"),
    ({"type": "ü"}, "type"),
    ({"type": "t" * 101}, "type"),
    ({"type": "t\n"}, "type"),
    ({"id": "7"}, "id"),
    ({"id": f"{{{ID[1]}}}"}, "id"),
    ({"label": "x" * 1001}, "label"),
    ({"label": "a\0b"}, "label"),
    ({"namespace": "code/mine"}, "namespace"),
    ({"namespace": "a b"}, "namespace"),
    ({"namespace": "x" * 251}, "namespace"),
    ({"properties": {"a": ["\0"]}}, "properties.a[0]"),
    ({"properties": {"bulk": "x" * 66_000}}, "properties"),
    ({"properties": nested(MAX_LEVELS + 1)}, "properties" + ".k" * MAX_LEVELS),
]

BAD_EDGES: list[tuple[dict[str, Any], str]] = [
    ({"sourceId": ""}, "source_id"),
    ({"targetId": "x"}, "target_id"),
    ({"type": ""}, "type"),
    ({"id": "x"}, "id"),
    ({"namespace": "code/"}, "namespace"),
    ({"confidence": 9}, "confidence"),
    ({"properties": {"\0": 1}}, "properties"),
]


async def test_a_wrong_node_or_edge_is_refused_by_name_with_all_beside_it(served: Served) -> None:
    stub = served.stub
    good = {"sourceId": ID[1], "targetId": ID[1]}

    for wrong, field in BAD_NODES:
        assert await refusal(stub.UpsertNodes(nodes({}, wrong))) == ("INVALID_ARGUMENT", f"nodes[1].{field}")
    assert (await stub.SearchNodes(pb.SearchNodesRequest())).nodes == []
    await stub.UpsertNodes(nodes({"id": ID[1]}))
    for wrong, field in BAD_EDGES:
        assert await refusal(stub.UpsertEdges(edges(good, good | wrong))) == ("INVALID_ARGUMENT", f"edges[1].{field}")
    infinite = nodes({})
    infinite.nodes[0].properties.fields["n"].number_value = float("inf")
    assert await refusal(stub.UpsertNodes(infinite)) == ("INVALID_ARGUMENT", "nodes[0].properties.n")
    assert await refusal(stub.UpsertNodes(nodes())) == ("INVALID_ARGUMENT", "nodes")
    assert await refusal(stub.UpsertNodes(nodes(*[{}] * 1001))) == ("INVALID_ARGUMENT", "nodes")
    assert await refusal(stub.UpsertEdges(edges())) == ("INVALID_ARGUMENT", "edges")
    twice = nodes({"id": ID[5]}, {"id": ID[5], "label": "another"})
    assert await refusal(stub.UpsertNodes(twice)) == ("INVALID_ARGUMENT", "nodes[1]")
    assert (await stub.Traverse(pb.TraverseRequest(start_ids=[ID[1]]))).edges == []


async def test_the_largest_that_is_taken_comes_back(served: Served) -> None:
    largest = {
        "id": ID[1],
        "type": "t" * 100,
        "label": "𐍈" * 1000,
        "namespace": "n" * 250,
        "properties": nested(MAX_LEVELS),
    }
    [stored] = (await served.stub.UpsertNodes(nodes(largest))).nodes
    await served.stub.UpsertEdges(edges({"sourceId": ID[1], "targetId": ID[1], "properties": nested(MAX_LEVELS)}))

    assert list((await served.stub.SearchNodes(pb.SearchNodesRequest(query="𐍈" * 1000))).nodes) == [stored]
    walked = await served.stub.Traverse(pb.TraverseRequest(start_ids=[ID[1]]))
    assert [one.node for one in walked.nodes] == [stored]
    assert walked.edges[0].properties == stored.properties
    assert (await served.stub.UpsertNodes(nodes(*[{"label": "𐍈" * 1000}] * 1000))).nodes[999].label


async def test_what_would_not_come_back_in_one_answer_is_not_written(served: Served) -> None:
    stub = served.stub
    large = {"properties": {"text": "x" * 60_000}}
    most = [{"id": ID[one], **large} for one in range(1, 70)]

    assert len((await stub.UpsertNodes(nodes(*most))).nodes) == 69
    assert await refusal(stub.UpsertNodes(nodes(*most, {"id": ID[70], **large}))) == ("INVALID_ARGUMENT", "nodes")
    at_one = [{"id": ID[100 + one], "sourceId": ID[1], "targetId": ID[1], **large} for one in range(70)]
    assert await refusal(stub.UpsertEdges(edges(*at_one))) == ("INVALID_ARGUMENT", "edges")
    assert await refusal(stub.GetNode(pb.GetNodeRequest(id=ID[70]))) == ("NOT_FOUND", "NODE_NOT_FOUND")


async def test_a_path_that_is_too_large_for_an_answer_says_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = served.stub
    await stub.UpsertNodes(nodes(*[{"id": ID[one], "label": "x" * 1000} for one in range(1, 5)]))
    await stub.UpsertEdges(edges(*[{"sourceId": ID[one], "targetId": ID[one + 1]} for one in range(1, 4)]))
    monkeypatch.setattr(graph_conversion, "_ANSWER_BYTES", 4000)

    long = stub.FindPath(pb.FindPathRequest(source_id=ID[1], target_id=ID[4]))
    assert await refusal(long) == ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED")
    assert len((await stub.FindPath(pb.FindPathRequest(source_id=ID[1], target_id=ID[3]))).nodes) == 3


async def test_large_answers_are_made_beside_the_loop(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, bool] = {}

    def watched(name: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def made_where(answer: Any) -> Any:
            made[name] = threading.current_thread() is not threading.main_thread()
            return make(answer)

        return made_where

    names = [name for name in vars(graph_servicer) if name.endswith("_message")]
    for name in names:
        monkeypatch.setattr(graph_servicer, name, watched(name, getattr(graph_servicer, name)))
    stub, large = served.stub, {"properties": {"text": "x" * 20_000}}
    await stub.UpsertNodes(nodes({"id": ID[1], **large}))
    await stub.UpsertEdges(edges({"sourceId": ID[1], "targetId": ID[1], **large}))
    await stub.SearchNodes(pb.SearchNodesRequest())
    await stub.Traverse(pb.TraverseRequest(start_ids=[ID[1]]))
    await stub.FindPath(pb.FindPathRequest(source_id=ID[1], target_id=ID[1]))

    assert made == dict.fromkeys(names, True)
    assert len(names) == 5


QUESTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("GetNode", {}, "id"),
    ("GetNode", {"id": "x" * 5000}, "id"),
    ("SearchNodes", {"query": "x" * 1001}, "query"),
    ("SearchNodes", {"query": "\0"}, "query"),
    ("SearchNodes", {"namespace": "'; DROP TABLE nodes; --"}, "namespace"),
    ("SearchNodes", {"types": ["t"] * 51}, "types"),
    ("SearchNodes", {"types": ["t", ""]}, "types[1]"),
    ("SearchNodes", {"types": ["\0"]}, "types[0]"),
    ("SearchNodes", {"propertiesFilter": {"a": "\0"}}, "properties_filter.a"),
    ("SearchNodes", {"propertiesFilter": {"a": "x" * 70_000}}, "properties_filter"),
    ("SearchNodes", {"pageSize": -1}, "page_size"),
    ("SearchNodes", {"pageToken": "!"}, "page_token"),
    ("SearchNodes", {"pageToken": "x" * 100_000}, "page_token"),
    ("Traverse", {}, "start_ids"),
    ("Traverse", {"startIds": [ID[1]] * 101}, "start_ids"),
    ("Traverse", {"startIds": [ID[1], "x"]}, "start_ids[1]"),
    ("Traverse", {"startIds": [ID[1]], "direction": 7}, "direction"),
    ("Traverse", {"startIds": [ID[1]], "minConfidence": -3}, "min_confidence"),
    ("Traverse", {"startIds": [ID[1]], "edgeTypes": [""]}, "edge_types[0]"),
    ("Traverse", {"startIds": [ID[1]], "nodeTypes": ["x"] * 51}, "node_types"),
    ("Traverse", {"startIds": [ID[1]], "maxDepth": 21}, "max_depth"),
    ("Traverse", {"startIds": [ID[1]], "maxDepth": -1}, "max_depth"),
    ("Traverse", {"startIds": [ID[1]], "maxNodes": 10_001}, "max_nodes"),
    ("Traverse", {"startIds": ID[1:5], "maxNodes": 3}, "max_nodes"),
    ("FindPath", {"sourceId": ID[1]}, "target_id"),
    ("FindPath", {"targetId": ID[1]}, "source_id"),
    ("FindPath", {"sourceId": ID[1], "targetId": ID[1], "maxDepth": 2**31 - 1}, "max_depth"),
    ("FindPath", {"sourceId": ID[1], "targetId": ID[1], "edgeTypes": ["\0"]}, "edge_types[0]"),
    ("DeleteNodes", {}, "ids"),
    ("DeleteNodes", {"ids": [ID[1]] * 1001}, "ids"),
    ("DeleteNodes", {"ids": ["x"]}, "ids[0]"),
    ("DeleteNodes", {"ids": [ID[1]], "namespace": "n"}, "namespace"),
    ("DeleteNodes", {"namespace": "code/std"}, "namespace"),
]


async def test_a_wrong_question_is_refused_by_name(served: Served) -> None:
    await served.stub.UpsertNodes(nodes({"id": ID[1]}))

    for method, question, field in QUESTIONS:
        request = ParseDict(question, getattr(pb, f"{method}Request")())
        assert await refusal(getattr(served.stub, method)(request)) == ("INVALID_ARGUMENT", field), question


async def test_what_is_not_there_and_what_is_of_code_has_a_reason(served: Served) -> None:
    stub = served.stub
    await served.graph.replace_namespace("code/std", [node(1), node(2)], [edge(1, 2)])
    await stub.UpsertNodes(nodes({"id": ID[3]}))
    missing, reserved = ("NOT_FOUND", "NODE_NOT_FOUND"), ("FAILED_PRECONDITION", "NAMESPACE_RESERVED")

    assert await refusal(stub.GetNode(pb.GetNodeRequest(id=ID[9]))) == missing
    assert await refusal(stub.Traverse(pb.TraverseRequest(start_ids=[ID[3], ID[9]]))) == missing
    assert await refusal(stub.FindPath(pb.FindPathRequest(source_id=ID[3], target_id=ID[9]))) == missing
    nowhere = edges({"sourceId": ID[3], "targetId": ID[9]})
    assert await refusal(stub.UpsertEdges(nowhere)) == ("FAILED_PRECONDITION", "NODE_NOT_FOUND")
    assert await refusal(stub.UpsertNodes(nodes({"id": ID[4]}, {"id": ID[1]}))) == reserved
    stolen = edges({"id": str(edge(1, 2).id), "sourceId": ID[3], "targetId": ID[3]})
    assert await refusal(stub.UpsertEdges(stolen)) == reserved
    assert await refusal(stub.DeleteNodes(pb.DeleteNodesRequest(ids=[ID[3], ID[1]]))) == reserved
    assert len((await stub.UpsertEdges(edges({"sourceId": ID[3], "targetId": ID[1]}))).edges) == 1
    assert [one.label for one in (await stub.SearchNodes(pb.SearchNodesRequest(namespace="code/std"))).nodes] == [
        "n1", "n2",
    ]  # fmt: skip


#: Values that some field of a request may come with.
ODD: list[Any] = [
    "", "x", "\0", "'", "\\", "%", "ü", "𐍈" * 300, "code/x", ID[1], ID[2], ID[9], "a.b", " ", "{}", "]", "\ud7ff",
]  # fmt: skip


def fill(message: Any, chance: random.Random) -> Any:
    """Put odd values into some fields of a message."""
    for field in message.DESCRIPTOR.fields:
        for _ in range(chance.randint(0, 3 if field.is_repeated else 1)):
            if field.is_repeated and field.message_type is not None:
                fill(getattr(message, field.name).add(), chance)
            elif field.message_type is not None and field.message_type.name == "Struct":
                getattr(message, field.name).update({chance.choice(ODD): chance.choice(ODD)})
            elif field.is_repeated:
                getattr(message, field.name).append(chance.choice(ODD))
            elif field.type == field.TYPE_STRING:
                setattr(message, field.name, chance.choice(ODD))
            elif field.message_type is None:
                setattr(message, field.name, chance.choice([0, 1, 2, 3, 4, -1, 2**31 - 1]))
    return message


async def test_no_request_gets_an_internal_error(served: Served) -> None:
    chance = random.Random(6)
    await served.stub.UpsertNodes(nodes({"id": ID[1]}, {"id": ID[2]}))
    codes = set()

    for method in pb.DESCRIPTOR.services_by_name["GraphService"].methods:
        for _ in range(60):
            call = getattr(served.stub, method.name)(fill(getattr(pb, method.input_type.name)(), chance))
            codes.add((await call.code()).name)

    assert codes - {"FAILED_PRECONDITION"} == {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
