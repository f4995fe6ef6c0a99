"""Changing and deleting events over gRPC, on PostgreSQL."""

import asyncio
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict, ParseDict

from servicekit.status import reason_of
from tests.fixtures_store import StartStore, StoreUnderTest, create_request, text_vector
from trimem.store.v1 import event_service_pb2 as pb

EMBEDDED, PENDING, FAILED = pb.EMBEDDING_STATE_EMBEDDED, pb.EMBEDDING_STATE_PENDING, pb.EMBEDDING_STATE_FAILED


async def update(store: StoreUnderTest, mask: list[str] | None = None, **event: Any) -> pb.Event:
    """UpdateEvent; keywords as in the JSON of an Event."""
    request = pb.UpdateEventRequest(event=ParseDict(event, pb.Event()), update_mask=FieldMask(paths=mask))
    return (await store.stub.UpdateEvent(request)).event


async def delete(store: StoreUnderTest, event_id: str) -> None:
    """DeleteEvent."""
    await store.stub.DeleteEvent(pb.DeleteEventRequest(id=event_id))


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """What a call fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def found(store: StoreUnderTest, query: str, mode: pb.SearchMode.ValueType) -> set[str]:
    """Ids that a search finds."""
    answer = await store.stub.SearchEvents(pb.SearchEventsRequest(query=query, mode=mode))
    return {hit.event.id for hit in answer.hits}


async def vector_of(store: StoreUnderTest, event_id: str) -> list[float]:
    """The stored vector."""
    [row] = await store.rows("SELECT embedding::text AS vector FROM events WHERE id = $1::text::uuid", event_id)
    return [float(value) for value in row["vector"][1:-1].split(",")]


async def test_a_new_content_is_embedded_and_found_by_its_new_words_only(store: StoreUnderTest) -> None:
    before = await store.create(content={"text": "red apple"}, metadata={"a": 1})

    after = await update(store, ["content"], id=before.id.upper(), content={"text": "blue ocean"}, metadata={"b": 2})

    assert MessageToDict(after.content) == {"text": "blue ocean"}
    assert MessageToDict(after.metadata) == {"a": 1}
    assert after.embedding_state == EMBEDDED
    assert after.create_time == before.create_time
    assert after.update_time.ToDatetime() > before.update_time.ToDatetime()
    assert (await store.stub.GetEvent(pb.GetEventRequest(id=before.id))).event == after
    assert await vector_of(store, after.id) == pytest.approx(text_vector("blue ocean").tolist(), abs=1e-5)
    assert await found(store, "apple", pb.SEARCH_MODE_LEXICAL) == set()
    assert await found(store, "ocean", pb.SEARCH_MODE_LEXICAL) == {after.id}
    assert store.embedder.calls[:2] == [["red apple"], ["blue ocean"]]


async def test_new_metadata_costs_no_embedding(store: StoreUnderTest) -> None:
    before = await store.create(content={"text": "red apple"}, metadata={"a": 1})
    store.embedder.go_down()

    after = await update(store, ["metadata"], id=before.id, metadata={"b": 2})

    assert MessageToDict(after.metadata) == {"b": 2}
    assert (after.content, after.embedding_state) == (before.content, EMBEDDED)
    assert len(store.embedder.calls) == 1


@pytest.mark.parametrize("mask", [["*"], ["content", "metadata"], []])
async def test_content_and_metadata_change_together(store: StoreUnderTest, mask: list[str]) -> None:
    before = await store.create(content={"text": "old"}, metadata={"a": 1})

    after = await update(store, mask, id=before.id, content={"text": "new"}, metadata={"b": 2})

    assert MessageToDict(after.content) == {"text": "new"}
    assert MessageToDict(after.metadata) == {"b": 2}


async def test_without_a_mask_what_is_set_changes_and_with_one_what_it_names(store: StoreUnderTest) -> None:
    event = await store.create(content={"text": "old"}, metadata={"a": 1})

    one = await update(store, id=event.id, content={"text": "new"})
    two = await update(store, ["metadata"], id=event.id)

    assert MessageToDict(one.metadata) == {"a": 1}
    assert MessageToDict(two.metadata) == {}
    assert MessageToDict(two.content) == {"text": "new"}


async def test_soft_stores_a_new_content_while_the_embedder_is_down(store: StoreUnderTest) -> None:
    event = await store.create(content={"text": "old"})
    store.embedder.go_down()

    changed = await update(store, id=event.id, content={"text": "new"})

    assert changed.embedding_state == PENDING
    assert changed.embedding_error
    assert await found_by_vector(store, "old") == set()
    store.embedder.come_back()
    await store.backfill.run_once()
    settled = (await store.stub.GetEvent(pb.GetEventRequest(id=event.id))).event
    assert (settled.embedding_state, settled.embedding_error) == (EMBEDDED, "")
    assert await vector_of(store, event.id) == pytest.approx(text_vector("new").tolist(), abs=1e-5)


async def found_by_vector(store: StoreUnderTest, text: str) -> set[str]:
    """Ids that a search by vector alone finds."""
    request = pb.SearchEventsRequest(mode=pb.SEARCH_MODE_VECTOR)
    request.vector.values.extend(text_vector(text).tolist())
    return {hit.event.id for hit in (await store.stub.SearchEvents(request)).hits}


async def test_hard_changes_nothing_while_the_embedder_is_down(start_store: StartStore) -> None:
    store = await start_store(embedding_fail_strategy="hard")
    event = await store.create(content={"text": "old"})
    store.embedder.go_down()

    error = await failure(update(store, id=event.id, content={"text": "new"}))

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert (await store.stub.GetEvent(pb.GetEventRequest(id=event.id))).event == event


async def test_a_new_content_gives_a_failed_event_another_chance(store: StoreUnderTest) -> None:
    store.embedder.refused = {"odd"}
    event = await store.create(content={"text": "odd"})
    assert event.embedding_state == FAILED
    assert "is odd" in event.embedding_error

    changed = await update(store, id=event.id, content={"text": "fine"})

    assert (changed.embedding_state, changed.embedding_error, changed.embedding_attempts) == (EMBEDDED, "", 0)


async def test_a_change_while_the_backfill_has_the_event_says_so_and_a_retry_wins(store: StoreUnderTest) -> None:
    store.embedder.go_down()
    event = await store.create(content={"text": "old"})
    store.embedder.come_back()
    store.embedder.calls.clear()
    store.embedder.gate.clear()
    settling = asyncio.create_task(store.backfill.run_once())
    async with asyncio.timeout(30):
        while not store.embedder.calls:
            await asyncio.sleep(0.01)
        refused = await asyncio.gather(
            *(failure(update(store, id=event.id, metadata={"n": n})) for n in range(3)),
            failure(delete(store, event.id)),
        )
        store.embedder.gate.set()
        await settling
    await update(store, id=event.id, content={"text": "new"})

    assert {one.code() for one in refused} == {grpc.StatusCode.ABORTED}
    assert {one.details() for one in refused} == {"the event is being embedded, or changed by others"}
    assert all("google.rpc.RetryInfo" in str(one.trailing_metadata()) for one in refused)
    kept = (await store.stub.GetEvent(pb.GetEventRequest(id=event.id))).event
    assert MessageToDict(kept.content) == {"text": "new"}
    assert kept.embedding_state == EMBEDDED
    assert await vector_of(store, event.id) == pytest.approx(text_vector("new").tolist(), abs=1e-5)


async def test_updates_at_once_leave_one_of_them_whole(store: StoreUnderTest) -> None:
    event = await store.create(content={"text": "old"})

    await asyncio.gather(
        *(update(store, id=event.id, content={"text": f"text {n}"}, metadata={"n": n}) for n in range(8))
    )

    kept = (await store.stub.GetEvent(pb.GetEventRequest(id=event.id))).event
    text = kept.content["text"]
    assert text == f"text {MessageToDict(kept.metadata)['n']:.0f}"
    assert await vector_of(store, event.id) == pytest.approx(text_vector(str(text)).tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("mask", "event", "field"),
    [
        (["content"], {"content": {"text": "x"}}, "event.id"),
        (["content"], {"id": "42", "content": {"text": "x"}}, "event.id"),
        ([], {"id": str(uuid4())}, "update_mask"),
        ([], {"id": str(uuid4()), "timestamp": "2026-01-01T00:00:00Z"}, "update_mask"),
        (["timestamp"], {"id": str(uuid4()), "timestamp": "2026-01-01T00:00:00Z"}, "update_mask"),
        (["embedding_state"], {"id": str(uuid4()), "content": {"text": "x"}}, "update_mask"),
        (["content", "id"], {"id": str(uuid4()), "content": {"text": "x"}}, "update_mask"),
        (["content.text"], {"id": str(uuid4()), "content": {"text": "x"}}, "update_mask"),
        (["'; DROP TABLE events; --"], {"id": str(uuid4()), "content": {"text": "x"}}, "update_mask"),
        (["content"], {"id": str(uuid4())}, "event.content"),
        (["*"], {"id": str(uuid4()), "metadata": {"a": 1}}, "event.content"),
        (["content"], {"id": str(uuid4()), "content": {}}, "event.content"),
        ([], {"id": str(uuid4()), "content": {"text": "nul \x00"}}, "event.content.text"),
        ([], {"id": str(uuid4()), "content": {"text": "x" * 3_000_000}}, "event.content"),
        ([], {"id": str(uuid4()), "metadata": {"m": "\x00"}}, "event.metadata.m"),
        ([], {"id": str(uuid4()), "metadata": {"m": "x" * 300_000}}, "event.metadata"),
    ],
)
async def test_a_wrong_update_is_refused_by_name(
    store: StoreUnderTest, mask: list[str], event: dict[str, Any], field: str
) -> None:
    error = await failure(update(store, mask, **event))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.details() or "").startswith(f"{field}: ")
    assert store.embedder.calls == []


async def test_an_update_needs_an_event(store: StoreUnderTest) -> None:
    error = await failure(store.stub.UpdateEvent(pb.UpdateEventRequest()))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.details() or "").startswith("event: ")


async def test_an_unknown_event_is_neither_changed_nor_deleted_nor_embedded(store: StoreUnderTest) -> None:
    identity = str(uuid4())

    for call in (
        update(store, id=identity, content={"text": "x"}),
        update(store, id=identity, metadata={"a": 1}),
        delete(store, identity),
    ):
        error = await failure(call)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert reason_of(error) == "EVENT_NOT_FOUND"
    assert store.embedder.calls == []


async def test_a_deleted_event_is_gone_and_does_not_come_back(store: StoreUnderTest) -> None:
    event = await store.create(request_id="r", content={"text": "red apple"})

    await delete(store, event.id.upper())

    assert (await failure(delete(store, event.id))).code() is grpc.StatusCode.NOT_FOUND
    assert (await failure(store.stub.GetEvent(pb.GetEventRequest(id=event.id)))).code() is grpc.StatusCode.NOT_FOUND
    for mode in (pb.SEARCH_MODE_LEXICAL, pb.SEARCH_MODE_VECTOR, pb.SEARCH_MODE_HYBRID):
        assert await found(store, "red apple", mode) == set()
    calls = len(store.embedder.calls)
    for again in (
        store.create(request_id="r", content={"text": "red apple"}),
        store.create(id=event.id, content={"text": "red apple"}),
    ):
        error = await failure(again)
        assert error.code() is grpc.StatusCode.ALREADY_EXISTS
        assert reason_of(error) == "EVENT_ALREADY_EXISTS"
        assert "deleted" in (error.details() or "")
    assert len(store.embedder.calls) == calls
    batch = await store.stub.BatchCreateEvents(
        pb.BatchCreateEventsRequest(
            requests=[create_request(request_id="r", content={"n": 1}), create_request(content={"n": 2})]
        )
    )
    assert batch.results[0].error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert batch.results[1].HasField("event")


async def test_a_malformed_id_is_not_deleted(store: StoreUnderTest) -> None:
    for identity in ("", "42", "\x00"):
        error = await failure(delete(store, identity))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (error.details() or "").startswith("id: ")


async def test_of_deletes_at_once_one_does_it(store: StoreUnderTest) -> None:
    event = await store.create(content={"text": "x"})

    results = await asyncio.gather(*(delete(store, event.id) for _ in range(8)), return_exceptions=True)

    assert results.count(None) == 1
    assert {one.code() for one in results if isinstance(one, grpc.aio.AioRpcError)} == {grpc.StatusCode.NOT_FOUND}
    assert len(await store.rows("SELECT FROM event_keys WHERE delete_time IS NOT NULL")) == 1


async def test_both_rows_of_an_id_that_the_monolith_stored_twice_are_deleted(store: StoreUnderTest) -> None:
    identity = str(uuid4())
    for day in (1, 2):
        await store.rows(
            "INSERT INTO events (id, timestamp, content) "
            "VALUES ($1::text::uuid, now() - $2::integer * interval '1 hour', jsonb_build_object('day', $2::integer))",
            identity,
            day,
        )

    changed = await update(store, id=identity, metadata={"seen": True})
    assert changed.content["day"] == 1
    await delete(store, identity)

    assert await store.rows("SELECT FROM events") == []


async def test_rows_of_the_monolith_have_the_time_of_their_event_until_they_change(store: StoreUnderTest) -> None:
    event = await store.create(timestamp="2026-11-01T00:00:00Z", content={"text": "old"})
    await store.rows("UPDATE events SET create_time = NULL, update_time = NULL, terms = NULL, term_total = NULL")

    before = (await store.stub.GetEvent(pb.GetEventRequest(id=event.id))).event
    after = await update(store, id=event.id, content={"text": "new"})

    assert before.create_time == before.update_time == event.timestamp
    assert after.create_time == event.timestamp
    assert after.update_time.ToDatetime() > event.timestamp.ToDatetime()


async def test_lists_are_filtered_by_embedding_state(store: StoreUnderTest) -> None:
    store.embedder.refused = {"odd 1", "odd 2"}
    for text in ("fine", "odd 1", "odd 2"):
        await store.create(content={"text": text})

    first = await store.stub.ListEvents(pb.ListEventsRequest(embedding_state=FAILED, page_size=1))
    second = await store.stub.ListEvents(pb.ListEventsRequest(embedding_state=FAILED, page_token=first.next_page_token))

    assert [one.content["text"] for one in (*first.events, *second.events)] == ["odd 2", "odd 1"]
    other = await failure(store.stub.ListEvents(pb.ListEventsRequest(page_token=first.next_page_token)))
    assert (other.details() or "").startswith("page_token: ")
    wrong = await failure(store.stub.ListEvents(pb.ListEventsRequest(embedding_state=42)))  # type: ignore[arg-type]
    assert (wrong.details() or "").startswith("embedding_state: ")
