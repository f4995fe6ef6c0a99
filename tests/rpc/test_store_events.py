"""EventService over gRPC, on PostgreSQL: what is stored, read, listed and found."""

import asyncio
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit.status import reason_of
from tests.fixtures_store import StartStore, StoreUnderTest, create_request
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb


def batch_of(*requests: pb.CreateEventRequest) -> pb.BatchCreateEventsRequest:
    """A request of several."""
    return pb.BatchCreateEventsRequest(requests=requests)


async def test_an_event_gets_an_id_times_and_an_embedding(store: StoreUnderTest) -> None:
    event = await store.create(content={"text": "the cat sat"}, metadata={"topic": "cats"})

    assert UUID(event.id).version == 7
    assert event.embedding_state == pb.EMBEDDING_STATE_EMBEDDED
    assert event.HasField("timestamp")
    assert event.HasField("create_time")
    assert event.create_time == event.update_time
    assert (await store.stub.GetEvent(pb.GetEventRequest(id=event.id))).event == event
    assert store.embedder.calls == [["the cat sat"]]
    assert store.embedder.kinds == [embedding_pb2.INPUT_KIND_DOCUMENT]


async def test_content_and_metadata_come_back_as_they_were_sent(store: StoreUnderTest) -> None:
    content = {"text": "🚀 שלום 'quoted' \"double\" \\ \n", "n": 3, "x": 0.1, "deep": {"a": [None, True, [], {}]}}
    metadata = {"": "empty key", "big": 2.0**70, "small": -1e-9}

    event = await store.create(content=content, metadata=metadata)

    assert MessageToDict(event.content) == content
    assert MessageToDict(event.metadata) == metadata
    assert (await store.stub.GetEvent(pb.GetEventRequest(id=event.id))).event == event


async def test_a_client_may_choose_id_and_timestamp(store: StoreUnderTest) -> None:
    identity = str(uuid4())

    event = await store.create(
        id=identity.upper(), timestamp="0001-01-01T00:00:00.123456789Z", content={"text": "long ago"}
    )

    assert event.id == identity
    assert event.timestamp.ToJsonString() == "0001-01-01T00:00:00.123456Z"
    last = await store.create(timestamp="9999-12-31T23:59:59.999999Z", content={"text": "far away"})
    listed = (await store.stub.ListEvents(pb.ListEventsRequest())).events
    assert [one.id for one in listed] == [last.id, event.id]
    assert (await store.stub.GetEvent(pb.GetEventRequest(id=identity.upper()))).event == event


async def test_text_is_that_of_content_text_else_all_strings(store: StoreUnderTest) -> None:
    await store.create(content={"text": "this", "title": "not this"})
    await store.create(content={"b": "second", "a": ["first", {"z": "also first"}], "n": 1})

    assert store.embedder.calls == [["this"], ["first\nalso first\nsecond"]]


async def test_an_event_without_text_is_stored_and_not_embedded(store: StoreUnderTest) -> None:
    for content in ({"n": 1}, {"text": ""}, {"text": " \n "}, {"a": {"b": [""]}}):
        event = await store.create(content=content)
        assert event.embedding_state == pb.EMBEDDING_STATE_SKIPPED

    assert store.embedder.calls == []


async def test_automatic_embedding_can_be_switched_off(start_store: StartStore) -> None:
    store = await start_store(embedding_auto_generate=False)

    event = await store.create(content={"text": "hello"})

    assert event.embedding_state == pb.EMBEDDING_STATE_SKIPPED
    assert store.embedder.calls == []


async def test_a_used_id_already_exists(store: StoreUnderTest) -> None:
    event = await store.create(content={"text": "first"})

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.create(id=event.id, timestamp="2020-01-01T00:00:00Z", content={"text": "second"})

    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason_of(caught.value) == "EVENT_ALREADY_EXISTS"
    assert store.embedder.calls == [["first"]]


async def test_a_request_id_writes_once_and_embeds_once(store: StoreUnderTest) -> None:
    first = await store.create(request_id="write 1", content={"text": "first"})
    again = await store.create(request_id="write 1", content={"text": "first"})

    assert again == first
    assert store.embedder.calls == [["first"]]
    assert len(await store.rows("SELECT FROM events")) == 1


async def test_a_request_id_is_remembered_by_other_and_later_stores(start_store: StartStore) -> None:
    one = await start_store()
    first = await one.create(request_id="write 1", content={"text": "first"})
    other = await start_store(database_url=one.database_url)

    assert await other.create(request_id="write 1", content={"text": "first"}) == first


async def test_equal_requests_at_once_write_once(store: StoreUnderTest) -> None:
    request = create_request(request_id="write 1", content={"text": "first"})

    answers = await asyncio.gather(*(store.stub.CreateEvent(request) for _ in range(20)))

    assert len({one.event.id for one in answers}) == 1
    assert len(await store.rows("SELECT FROM events")) == 1
    assert len(await store.rows("SELECT FROM event_keys")) == 1


async def test_equal_batches_at_once_write_once(store: StoreUnderTest) -> None:
    requests = [create_request(request_id=f"write {one}", content={"text": f"text {one}"}) for one in range(40)]

    answers = await asyncio.gather(
        *(store.stub.BatchCreateEvents(batch_of(*(requests if turn % 2 else reversed(requests)))) for turn in range(6))
    )

    for turn, answer in enumerate(answers):
        wanted = [request.event.content for request in (requests if turn % 2 else requests[::-1])]
        assert [result.event.content for result in answer.results] == wanted
    assert len(await store.rows("SELECT FROM events")) == 40


async def test_a_batch_is_stored_in_order_with_one_result_each(store: StoreUnderTest) -> None:
    requests = [create_request(content={"text": f"text {number}"}) for number in range(150)]

    answer = await store.stub.BatchCreateEvents(batch_of(*requests))

    assert [one.event.content for one in answer.results] == [one.event.content for one in requests]
    assert {one.event.embedding_state for one in answer.results} == {pb.EMBEDDING_STATE_EMBEDDED}
    assert [len(call) for call in store.embedder.calls] == [64, 64, 22]
    assert len(await store.rows("SELECT FROM events WHERE embedding IS NOT NULL")) == 150


async def test_an_event_that_cannot_be_stored_does_not_stop_the_others(store: StoreUnderTest) -> None:
    taken = await store.create(content={"text": "taken"})
    identity = str(uuid4())
    known = await store.create(request_id="known", content={"text": "known"})

    answer = await store.stub.BatchCreateEvents(
        batch_of(
            create_request(content={"text": "good"}),
            pb.CreateEventRequest(),
            create_request(id="no uuid", content={"text": "x"}),
            create_request(id=taken.id, content={"text": "x"}),
            create_request(id=identity, content={"text": "one"}),
            create_request(id=identity, content={"text": "two"}),
            create_request(request_id="r", content={"text": "three"}),
            create_request(request_id="r", content={"text": "four"}),
            create_request(request_id="known", id=identity, content={"text": "five"}),
        )
    )

    codes = [one.error.code for one in answer.results]
    invalid, exists = grpc.StatusCode.INVALID_ARGUMENT.value[0], grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert codes == [0, invalid, invalid, exists, 0, exists, 0, 0, 0]
    assert answer.results[1].error.message == "event: is required"
    assert answer.results[2].error.message.startswith("event.id: ")
    assert answer.results[6].event == answer.results[7].event
    assert answer.results[8].event == known
    assert len(await store.rows("SELECT FROM events")) == 5


async def test_the_first_of_two_equal_ids_may_turn_out_to_be_known_and_the_second_is_stored(
    store: StoreUnderTest,
) -> None:
    known = await store.create(request_id="known", content={"text": "known"})
    identity = str(uuid4())

    answer = await store.stub.BatchCreateEvents(
        batch_of(
            create_request(request_id="known", id=identity, content={"text": "one"}),
            create_request(id=identity, content={"text": "two"}),
        )
    )

    assert answer.results[0].event == known
    assert answer.results[1].event.id == identity


async def test_an_unknown_event_is_not_found(store: StoreUnderTest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.stub.GetEvent(pb.GetEventRequest(id=str(uuid4())))

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(caught.value) == "EVENT_NOT_FOUND"


async def test_lists_page_newest_first_while_others_write(store: StoreUnderTest) -> None:
    made = [
        await store.create(timestamp=f"2026-01-0{day}T00:00:00Z", content={"text": f"day {day}"}) for day in range(1, 6)
    ]
    first = await store.stub.ListEvents(pb.ListEventsRequest(page_size=2))
    await store.create(timestamp="2026-01-09T00:00:00Z", content={"text": "newer"})

    second = await store.stub.ListEvents(pb.ListEventsRequest(page_size=2, page_token=first.next_page_token))
    third = await store.stub.ListEvents(pb.ListEventsRequest(page_size=2, page_token=second.next_page_token))

    assert [*first.events, *second.events, *third.events] == made[::-1]
    assert third.next_page_token == ""


async def test_pages_are_not_larger_than_allowed(store: StoreUnderTest) -> None:
    for start in range(0, 1001, 1000):
        count = min(1000, 1001 - start)
        await store.stub.BatchCreateEvents(batch_of(*(create_request(content={"n": n}) for n in range(count))))

    page = await store.stub.ListEvents(pb.ListEventsRequest(page_size=2**31 - 1))

    assert len(page.events) == 1000
    assert page.next_page_token
    assert len((await store.stub.ListEvents(pb.ListEventsRequest())).events) == 50


async def test_lists_are_filtered_by_metadata_and_time(store: StoreUnderTest) -> None:
    for day in range(1, 5):
        await store.create(
            timestamp=f"2026-01-0{day}T00:00:00Z",
            content={"n": day},
            metadata={"odd": bool(day % 2), "tags": ["a", "b"]},
        )

    request = ParseDict(
        {
            "metadata_filter": {"odd": True, "tags": ["b"]},
            "start_time": "2026-01-02T00:00:00Z",
            "end_time": "2026-01-09T00:00:00Z",
        },
        pb.ListEventsRequest(),
    )

    assert [one.content["n"] for one in (await store.stub.ListEvents(request)).events] == [3]


async def test_a_timestamp_keeps_its_microseconds(store: StoreUnderTest) -> None:
    event = await store.create(timestamp="2026-07-01T10:20:30.123456Z", content={"n": 1})

    assert event.timestamp == Timestamp(seconds=1782901230, nanos=123456000)
