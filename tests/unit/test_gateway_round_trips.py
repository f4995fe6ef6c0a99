"""Messages written as JSON and read again are the same: the transcoder loses nothing and makes nothing up."""

from typing import Any

from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.bindings import bindings_of
from gateway.http.json_text import parse_json
from gateway.http.reading import read_message
from gateway.http.request_reader import RequestReader
from gateway.http.writing import message_json
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2

SETTINGS = settings(max_examples=60, deadline=None)

texts = st.text(max_size=10)
scalars = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts
objects = st.dictionaries(
    texts,
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)),
    max_size=3,
)
floats = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=5)
times = st.integers(-62135596800, 253402300799)
nanos = st.integers(0, 999_999_999)


@st.composite
def searches(draw: Any) -> Message:
    request = event_service_pb2.SearchEventsRequest(
        query=draw(texts),
        mode=draw(st.sampled_from([0, 1, 2, 3])),
        page_size=draw(st.integers(-(2**31), 2**31 - 1)),
        page_token=draw(texts),
    )
    if draw(st.booleans()):
        request.vector.values.extend(draw(floats))
        request.vector.SetInParent()
    if draw(st.booleans()):
        request.metadata_filter.update(draw(objects))
        request.metadata_filter.SetInParent()
    if draw(st.booleans()):
        request.start_time.seconds, request.start_time.nanos = draw(times), draw(nanos)
    if draw(st.booleans()):
        request.min_similarity = draw(st.floats(allow_nan=False, allow_infinity=False))
    if draw(st.booleans()):
        request.recency_half_life.seconds = draw(st.integers(0, 315_576_000_000))
    return request


@st.composite
def creations(draw: Any) -> Message:
    request = event_service_pb2.CreateEventRequest(request_id=draw(texts), vector_fingerprint=draw(texts))
    request.event.id = draw(texts)
    request.event.content.update(draw(objects))
    request.event.metadata.update(draw(objects))
    request.event.embedding_attempts = draw(st.integers(-(2**31), 2**31 - 1))
    return request


def read_again(message: Message) -> Message:
    again = type(message)()
    read_message(parse_json(message_json(message)), again)
    return again


@SETTINGS
@given(searches() | creations())
def test_a_message_survives_json(message: Message) -> None:
    assert read_again(message) == message


@SETTINGS
@given(st.lists(creations(), max_size=4))
def test_messages_within_messages_survive_json(requests: list[Any]) -> None:
    message = event_service_pb2.BatchCreateEventsRequest(requests=requests)
    assert read_again(message) == message


@SETTINGS
@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32 - 1), floats)
def test_numbers_of_all_sizes_survive_json(number: int, count: int, values: list[float]) -> None:
    answer = event_service_pb2.ImportEventsResponse(settled_count=number)
    assert read_again(answer) == answer
    embedding = embedding_pb2.Embedding(text=embedding_pb2.Vector(values=values), token_count=count, cached=True)
    assert read_again(embedding) == embedding


@SETTINGS
@given(st.lists(creations(), max_size=6), st.integers(0, 10**9))
def test_lines_of_a_stream_are_the_elements_of_its_messages(requests: list[Any], first: int) -> None:
    service = event_service_pb2.DESCRIPTOR.services_by_name["EventService"]
    [binding] = [each for each in bindings_of(service) if each.rpc.name == "ImportEvents"]

    messages = list(RequestReader(binding).messages([message_json(request) for request in requests], first))

    read = [event_service_pb2.ImportEventsRequest.FromString(message) for message in messages]
    assert [request for message in read for request in message.requests] == requests
