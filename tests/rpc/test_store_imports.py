"""ImportEvents over gRPC, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.rpc import error_details_pb2

from servicekit.server import server_options
from servicekit.status import reason_of, status_of
from tests.fixtures_store import OTHER_SPACE, StartStore, StoreUnderTest, create_request, store_settings
from trimem.store.v1 import event_service_pb2 as pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT.value[0]


def message(requests: Iterable[pb.CreateEventRequest]) -> pb.ImportEventsRequest:
    """One message of a stream."""
    return pb.ImportEventsRequest(requests=requests)


def numbered(first: int, count: int) -> pb.ImportEventsRequest:
    """Events without text, each with a request id."""
    return message(create_request(request_id=f"r {n}", content={"n": n}) for n in range(first, first + count))


async def import_all(store: StoreUnderTest, *messages: pb.ImportEventsRequest) -> pb.ImportEventsResponse:
    """Import a stream of these messages."""
    return await store.stub.ImportEvents(iter(messages))


def settled_count(error: grpc.aio.AioRpcError) -> str:
    """What an error says about how far the import got."""
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status_of(error).details)
    return str(info.metadata["settled_count"])


async def test_a_stream_is_stored_and_counted(store: StoreUnderTest) -> None:
    answer = await import_all(store, *(numbered(first, 700) for first in range(0, 2800, 700)))

    assert (answer.settled_count, answer.stored_count, answer.repeated_count) == (2800, 2800, 0)
    assert (answer.failed_count, answer.pending_count, len(answer.errors)) == (0, 0, 0)
    [row] = await store.rows("SELECT count(*), count(DISTINCT content->>'n') AS distinct FROM events")
    assert (row["count"], row["distinct"]) == (2800, 2800)


async def test_a_stream_of_nothing_is_fine(store: StoreUnderTest) -> None:
    assert await import_all(store) == pb.ImportEventsResponse()
    assert await import_all(store, message([])) == pb.ImportEventsResponse()


async def test_texts_are_embedded_together_whatever_the_messages(store: StoreUnderTest) -> None:
    answer = await import_all(store, *(message([create_request(content={"text": f"text {n}"})]) for n in range(130)))

    assert answer.stored_count == 130
    assert [len(call) for call in store.embedder.calls] == [64, 64, 2]
    assert len(await store.rows("SELECT FROM events WHERE embedding IS NOT NULL AND term_total = 2")) == 130


async def test_an_import_that_is_repeated_writes_nothing(store: StoreUnderTest) -> None:
    await import_all(store, numbered(0, 500))

    answer = await import_all(store, numbered(0, 500), numbered(400, 200))

    assert (answer.settled_count, answer.stored_count, answer.repeated_count) == (700, 100, 600)
    assert len(await store.rows("SELECT FROM events")) == 600


async def test_what_cannot_be_stored_is_named_and_does_not_stop_the_others(store: StoreUnderTest) -> None:
    taken = await store.create(content={"n": 1})
    gone = await store.create(content={"n": 2})
    await store.stub.DeleteEvent(pb.DeleteEventRequest(id=gone.id))
    identity = str(uuid4())

    answer = await import_all(
        store,
        message([create_request(content={"n": 0}), pb.CreateEventRequest()]),
        message([create_request(id=taken.id, content={"n": 3}), create_request(id=gone.id, content={"n": 4})]),
        message([create_request(content={"n": 5})] * 1001),
        message([create_request(id=identity, content={"n": 6}), create_request(id=identity, content={"n": 7})]),
    )

    assert (answer.settled_count, answer.stored_count, answer.failed_count) == (1007, 2, 1005)
    assert len(answer.errors) == 100
    named = {one.index: one.error for one in answer.errors}
    assert sorted(named) == list(range(1, 101))
    assert (named[1].code, named[1].message) == (INVALID, "event: is required")
    assert named[2].code == named[3].code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert named[4].message == "requests: must be 1 to 1000 in a message, and are 1001"
    assert len(await store.rows("SELECT FROM events WHERE content->>'n' IN ('0', '6')")) == 2


async def test_what_is_not_embedded_yet_is_counted(store: StoreUnderTest) -> None:
    store.embedder.go_down()

    answer = await import_all(store, message([create_request(content={"text": "a"}), create_request(content={"n": 1})]))

    assert (answer.stored_count, answer.pending_count) == (2, 1)


async def test_an_import_that_fails_in_the_middle_says_how_far_it_got(start_store: StartStore) -> None:
    store = await start_store(embedding_fail_strategy="hard")

    async def requests() -> AsyncIterator[pb.ImportEventsRequest]:
        yield numbered(0, 1000)
        yield numbered(1000, 1000)
        store.embedder.go_down()
        yield message([create_request(content={"text": "x"})])

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.stub.ImportEvents(requests())

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(caught.value) == "EMBEDDER_UNAVAILABLE"
    assert settled_count(caught.value) == "2000"
    assert len(await store.rows("SELECT FROM events")) == 2000


async def test_an_embedder_of_another_model_ends_an_import(store: StoreUnderTest) -> None:
    await store.create(content={"text": "old"})
    store.embedder.space = OTHER_SPACE

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await import_all(store, numbered(0, 1000), message([create_request(content={"text": "new"})]))

    assert reason_of(caught.value) == "EMBEDDING_SPACE_MISMATCH"
    assert settled_count(caught.value) == "1000"
    assert len(await store.rows("SELECT FROM events")) == 1001


async def test_bytes_that_are_no_message_end_an_import(store: StoreUnderTest) -> None:
    async with grpc.aio.insecure_channel(store.target) as channel:
        call: Any = channel.stream_unary("/trimem.store.v1.EventService/ImportEvents")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(iter([numbered(0, 1000).SerializeToString(), b"\xff\xff"]))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert settled_count(caught.value) == "1000"


async def test_an_import_that_is_broken_off_keeps_whole_batches_and_leaves_the_rest(store: StoreUnderTest) -> None:
    sent = asyncio.Event()

    async def requests() -> AsyncIterator[pb.ImportEventsRequest]:
        yield numbered(0, 1000)
        yield numbered(1000, 10)
        sent.set()
        await asyncio.Event().wait()

    call = store.stub.ImportEvents(requests())
    async with asyncio.timeout(30):
        await sent.wait()
        while len(await store.rows("SELECT FROM events")) < 1000:
            await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    # Another call is answered when the broken off one is over: it had the same keys.
    answer = await import_all(store, numbered(0, 1000), numbered(1000, 10))
    assert (answer.repeated_count, answer.stored_count) == (1000, 10)


async def test_an_import_outlives_the_age_of_its_connection(start_store: StartStore) -> None:
    store = await start_store(max_connection_age_seconds=0.3)

    async def requests() -> AsyncIterator[pb.ImportEventsRequest]:
        for n in range(12):
            yield numbered(n, 1)
            await asyncio.sleep(0.1)

    assert (await store.stub.ImportEvents(requests())).stored_count == 12
    # However long it takes: the test has not the minutes to see a grace end.
    assert "grpc.max_connection_age_grace_ms" not in dict(server_options(store_settings()))


async def test_texts_of_all_kinds_come_back_as_they_were_sent(store: StoreUnderTest) -> None:
    right_to_left = "\u202e" + "שלום" + "\u202c"
    texts = ["'; DROP TABLE events; --", 'a "quoted" \\ text\t\n', "𐍈 🚀", right_to_left, "x" * 1_000_000]
    contents = [{"text": text, "keys": {f"key {n}": n for n in range(2_000)}} for text in texts]

    answer = await import_all(store, *(message([create_request(content=content)]) for content in contents))

    assert answer.stored_count == len(texts)
    listed = await store.rows("SELECT content->>'text' AS text FROM events")
    assert {row["text"] for row in listed} == set(texts)
