"""What callers get wrong, and what they are told: the code, the field, and nothing of our insides."""

import base64
import json
import math
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2

from servicekit.status import status_of
from tests.fixtures_store import DIMENSION, StoreUnderTest, create_request
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

ID = "0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4a11"


async def refused_field(call: Any) -> str:
    """The field that an INVALID_ARGUMENT names."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
    bad_request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad_request) for detail in status_of(error).details)
    [violation] = bad_request.field_violations
    assert (error.details() or "").startswith(violation.field)
    return str(violation.field)


def struct(value: dict[str, Any]) -> Struct:
    """A Struct of Python values, NaN included."""
    message = Struct()
    message.update(value)
    return message


def nested(depth: int, text: str = "\x00") -> dict[str, Any]:
    """An object in an object, and so on."""
    value: dict[str, Any] = {"text": text}
    for _ in range(depth):
        value = {"k": value}
    return value


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (pb.Event(), "event.content"),
        (pb.Event(content=Struct()), "event.content"),
        (pb.Event(content=struct({"text": "nul \x00"})), "event.content.text"),
        (pb.Event(content=struct({"a": [1, {"b\x00": 1}]})), "event.content.a[1]"),
        (pb.Event(content=struct({"a": [{"b": ["\x00"]}]})), "event.content.a[0].b[0]"),
        (pb.Event(content=struct(nested(20))), "event.content" + 20 * ".k" + ".text"),
        (pb.Event(content=struct(nested(30, "deep"))), "event.content" + 30 * ".k"),
        (pb.Event(content=struct({"n": math.nan})), "event.content.n"),
        (pb.Event(content=struct({"n": [-math.inf]})), "event.content.n[0]"),
        (pb.Event(content=struct({"text": "x" * 5_000_000})), "event.content"),
        (pb.Event(content=struct({"text": "🚀" * 600_000})), "event.content"),
        (pb.Event(content=struct({"t": "x"}), metadata=struct({"m": "x" * 300_000})), "event.metadata"),
        (pb.Event(content=struct({"t": "x"}), metadata=struct({"m": "\x00"})), "event.metadata.m"),
        (pb.Event(content=struct({"t": "x"}), id="42"), "event.id"),
        (pb.Event(content=struct({"t": "x"}), id=f"{{{ID}}}"), "event.id"),
        (pb.Event(content=struct({"t": "x"}), id="'; DROP TABLE events; --"), "event.id"),
        (pb.Event(content=struct({"t": "x"}), timestamp=Timestamp(seconds=253402300800)), "event.timestamp"),
        (pb.Event(content=struct({"t": "x"}), timestamp=Timestamp(seconds=-62135596801)), "event.timestamp"),
        (pb.Event(content=struct({"t": "x"}), timestamp=Timestamp(seconds=2**62)), "event.timestamp"),
        (pb.Event(content=struct({"t": "x"}), timestamp=Timestamp(nanos=-1)), "event.timestamp"),
        (pb.Event(content=struct({"t": "x"}), timestamp=Timestamp(nanos=1_000_000_000)), "event.timestamp"),
    ],
)
async def test_a_wrong_event_is_refused_by_name(store: StoreUnderTest, event: pb.Event, field: str) -> None:
    assert await refused_field(store.stub.CreateEvent(pb.CreateEventRequest(event=event))) == field
    assert await store.rows("SELECT FROM events") == []
    assert store.embedder.calls == []


async def test_the_deepest_event_that_is_taken_can_be_read_in_every_answer(store: StoreUnderTest) -> None:
    deepest = struct(nested(29, "deep"))
    requests = [pb.CreateEventRequest(event=pb.Event(content=deepest, metadata=deepest))]

    batch = await store.stub.BatchCreateEvents(pb.BatchCreateEventsRequest(requests=requests))
    listed = await store.stub.ListEvents(pb.ListEventsRequest())
    found = await store.stub.SearchEvents(pb.SearchEventsRequest(query="deep"))

    assert [batch.results[0].event] == list(listed.events) == [hit.event for hit in found.hits]


async def test_hits_too_large_for_one_answer_come_on_the_next_page_and_the_best_one_at_once(
    store: StoreUnderTest,
) -> None:
    for _ in range(3):
        await store.create(content={"text": "needle", "bulk": "x" * 2_000_000})

    found = await store.stub.SearchEvents(pb.SearchEventsRequest(query="needle"))  # a client that takes 4 MiB

    assert len(found.hits) == 1
    shown = {found.hits[0].event.id}
    while found.next_page_token:
        more = pb.SearchEventsRequest(query="needle", page_token=found.next_page_token)
        found = await store.stub.SearchEvents(more)
        shown |= {hit.event.id for hit in found.hits}
    assert len(shown) == 3


async def test_an_event_is_required(store: StoreUnderTest) -> None:
    assert await refused_field(store.stub.CreateEvent(pb.CreateEventRequest())) == "event"


@pytest.mark.parametrize("request_id", ["x" * 129, "new\nline", "ümlaut", "nul\x00", "🚀"])
async def test_a_request_id_is_short_printable_ascii(store: StoreUnderTest, request_id: str) -> None:
    request = create_request(request_id=request_id, content={"text": "x"})

    assert await refused_field(store.stub.CreateEvent(request)) == "request_id"


async def test_a_path_in_a_message_is_cut_short(store: StoreUnderTest) -> None:
    content = struct({"k" * 100_000: {"l" * 100_000: {"m" * 100_000: {"n" * 100_000: "\x00"}}}})

    field = await refused_field(store.stub.CreateEvent(pb.CreateEventRequest(event=pb.Event(content=content))))

    assert field.startswith("event.content.kkk")
    assert len(field) < 300


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_1_to_1000_requests(store: StoreUnderTest, count: int) -> None:
    request = pb.BatchCreateEventsRequest(requests=[create_request(content={"n": 1})] * count)

    assert await refused_field(store.stub.BatchCreateEvents(request)) == "requests"


@pytest.mark.parametrize("identity", ["", "42", ID[:-1], ID + "0", ID.replace("-", ""), "\x00", "🚀" * 12])
async def test_a_malformed_id_is_refused(store: StoreUnderTest, identity: str) -> None:
    assert await refused_field(store.stub.GetEvent(pb.GetEventRequest(id=identity))) == "id"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListEventsRequest(page_size=-1), "page_size"),
        (pb.ListEventsRequest(start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1)), "end_time"),
        (pb.ListEventsRequest(start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=2)), "end_time"),
        (pb.ListEventsRequest(start_time=Timestamp(seconds=2**60)), "start_time"),
        (pb.ListEventsRequest(metadata_filter=struct({"a": "\x00"})), "metadata_filter.a"),
        (pb.ListEventsRequest(metadata_filter=struct({"a": math.nan})), "metadata_filter.a"),
        (pb.ListEventsRequest(metadata_filter=struct({"a": "x" * 70_000})), "metadata_filter"),
    ],
)
async def test_a_wrong_list_is_refused_by_name(
    store: StoreUnderTest, request_: pb.ListEventsRequest, field: str
) -> None:
    assert await refused_field(store.stub.ListEvents(request_)) == field


def token(value: object) -> str:
    """A page token that says something else than ours."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "page_token",
    [
        "x",
        "=",
        "🚀",
        "\x00",
        "A" * 100_000,
        "W" + "1tb" * 100,
        token([]),
        token(None),
        token({}),
        token({"t": 0, "i": "0" * 32, "f": "wrong"}),
        token({"t": 10**30, "i": "0" * 32, "f": ""}),
        token({"t": True, "i": "0" * 32, "f": ""}),
        token({"t": 1.5, "i": "0" * 32, "f": ""}),
        token({"t": 0, "i": "'; DROP TABLE events", "f": ""}),
        token({"t": math.nan, "i": "0" * 32, "f": ""}),
    ],
)
async def test_a_page_token_that_is_not_ours_is_refused(store: StoreUnderTest, page_token: str) -> None:
    assert await refused_field(store.stub.ListEvents(pb.ListEventsRequest(page_token=page_token))) == "page_token"


async def test_a_page_token_belongs_to_its_filter(store: StoreUnderTest) -> None:
    for number in range(2):
        await store.create(content={"n": number}, metadata={"a": 1})
    first = await store.stub.ListEvents(pb.ListEventsRequest(page_size=1, metadata_filter=struct({"a": 1})))

    other = pb.ListEventsRequest(page_token=first.next_page_token, metadata_filter=struct({"a": 2}))

    assert await refused_field(store.stub.ListEvents(other)) == "page_token"


def vector(*values: float) -> embedding_pb2.Vector:
    """A vector, made as long as the stored ones."""
    return embedding_pb2.Vector(values=[*values, *([0.0] * (DIMENSION - len(values)))])


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.SearchEventsRequest(), "query"),
        (pb.SearchEventsRequest(query=" \n\t"), "query"),
        (pb.SearchEventsRequest(query="nul \x00"), "query"),
        (pb.SearchEventsRequest(query="x" * 17_000), "query"),
        (pb.SearchEventsRequest(query="🚀" * 5_000), "query"),
        (pb.SearchEventsRequest(query="x", vector=vector(1), mode=pb.SEARCH_MODE_LEXICAL), "vector"),
        (pb.SearchEventsRequest(vector=vector(1), mode=pb.SEARCH_MODE_HYBRID), "query"),
        (pb.SearchEventsRequest(mode=pb.SEARCH_MODE_VECTOR), "query"),
        (pb.SearchEventsRequest(query="x", vector=vector(0, math.nan)), "vector"),
        (pb.SearchEventsRequest(query="x", min_similarity=0, mode=pb.SEARCH_MODE_LEXICAL), "min_similarity"),
        (pb.SearchEventsRequest(query="x", recency_half_life=Duration()), "recency_half_life"),
        (pb.SearchEventsRequest(query="x", recency_half_life=Duration(seconds=-1)), "recency_half_life"),
        (pb.SearchEventsRequest(query="x", page_token="x"), "page_token"),
        (pb.SearchEventsRequest(query="x", page_token="A" * 100_000), "page_token"),
        (pb.SearchEventsRequest(vector=embedding_pb2.Vector()), "vector"),
        (pb.SearchEventsRequest(vector=embedding_pb2.Vector(values=[1.0] * (DIMENSION + 1))), "vector"),
        (pb.SearchEventsRequest(vector=vector(0)), "vector"),
        (pb.SearchEventsRequest(vector=vector(1, math.nan)), "vector"),
        (pb.SearchEventsRequest(vector=vector(math.inf)), "vector"),
        (pb.SearchEventsRequest(query="x", page_size=-1), "page_size"),
        (pb.SearchEventsRequest(query="x", min_similarity=1.1), "min_similarity"),
        (pb.SearchEventsRequest(query="x", min_similarity=math.nan), "min_similarity"),
        (pb.SearchEventsRequest(query="x", start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1)), "end_time"),
        (pb.SearchEventsRequest(query="x", metadata_filter=struct({"a": ["\x00"]})), "metadata_filter.a[0]"),
        (pb.SearchEventsRequest(query="x", mode=17), "mode"),  # type: ignore[arg-type]
    ],
)
async def test_a_wrong_search_is_refused_by_name(
    store: StoreUnderTest, request_: pb.SearchEventsRequest, field: str
) -> None:
    assert await refused_field(store.stub.SearchEvents(request_)) == field
    assert store.embedder.calls == []


async def test_a_query_that_the_embedder_refuses_is_the_callers_fault(store: StoreUnderTest) -> None:
    store.embedder.refused = {"odd"}

    assert await refused_field(store.stub.SearchEvents(pb.SearchEventsRequest(query="odd"))) == "query"


async def test_a_value_of_no_kind_is_null(store: StoreUnderTest) -> None:
    content = Struct(fields={"text": Value(string_value="x"), "nothing": Value()})

    answer = await store.stub.CreateEvent(pb.CreateEventRequest(event=pb.Event(content=content)))

    assert answer.event.content.fields["nothing"].WhichOneof("kind") == "null_value"


async def test_a_large_document_and_ten_thousand_keys_are_fine(store: StoreUnderTest) -> None:
    text = "word " * 209_715  # 1 MiB
    metadata = {f"key {number}": number for number in range(10_000)}

    event = await store.create(content={"text": text}, metadata=metadata)

    assert event.content["text"] == text
    assert len(event.metadata.fields) == 10_000
    assert len(store.embedder.calls[0][0]) == 131_072
    request = pb.ListEventsRequest(metadata_filter=struct({"key 9999": 9999}))
    assert [one.id for one in (await store.stub.ListEvents(request)).events] == [event.id]
