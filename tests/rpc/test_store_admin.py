"""StoreAdminService: what it says of the store, and how it steers the backfill of all stores of a database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio

from servicekit.status import reason_of
from store import migrate
from store.errors import EmbedderFailedError
from tests.conftest import NewDatabase
from tests.fixtures_store import (
    SPACE,
    StartStore,
    StoreUnderTest,
    create_request,
    plan,
)
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import store_admin_pb2 as admin

PATIENCE = 30

PENDING, FAILED = pb.EMBEDDING_STATE_PENDING, pb.EMBEDDING_STATE_FAILED


@pytest_asyncio.fixture
async def store(start_store: StartStore) -> StoreUnderTest:
    """A store with default settings."""
    return await start_store(backfill_interval_seconds=0.02)


@asynccontextmanager
async def backfilling(*several: StoreUnderTest) -> AsyncIterator[None]:
    """Let the backfills of stores run."""
    async with AsyncExitStack() as stack:
        for store in several:
            task = asyncio.create_task(store.backfill.run())
            stack.push_async_callback(asyncio.wait, [task])
            stack.callback(task.cancel)
        yield


async def status(store: StoreUnderTest) -> admin.GetStatusResponse:
    """GetStatus."""
    return await store.admin.GetStatus(admin.GetStatusRequest())


async def until_pending(store: StoreUnderTest, count: int) -> None:
    """Wait until so many events are pending."""
    async with asyncio.timeout(PATIENCE):
        while (await status(store)).pending_count != count:
            await asyncio.sleep(0.01)


async def pend(store: StoreUnderTest, *texts: str) -> list[str]:
    """Ids of events that are stored while the embedder is down."""
    store.embedder.go_down()
    requests = [create_request(content={"text": text}) for text in texts]
    answer = await store.stub.BatchCreateEvents(pb.BatchCreateEventsRequest(requests=requests))
    store.embedder.come_back()
    return [one.event.id for one in answer.results]


async def test_the_status_of_an_empty_store(store: StoreUnderTest) -> None:
    answer = await status(store)

    assert answer.migration_revision == migrate.head()
    assert answer.database_version.startswith("18.")
    assert answer.pgvector_version.count(".") == 2
    assert (answer.event_count, answer.pending_count, answer.failed_count) == (0, 0, 0)
    assert not answer.HasField("oldest_pending_time")
    assert not answer.backfill_paused
    assert list(answer.spaces) == []
    assert answer.database_bytes > 1_000_000
    assert 1 <= answer.pool.open_count <= answer.pool.max_count == 8
    assert 0 <= answer.pool.idle_count <= answer.pool.open_count


async def test_the_status_counts_what_waits_and_names_the_model(store: StoreUnderTest) -> None:
    await store.create(content={"text": "fine"})
    first, _ = await pend(store, "one", "two")
    store.embedder.refused = {"odd"}
    await store.create(content={"text": "odd"})
    await store.rows("ANALYZE events")

    answer = await status(store)

    assert (answer.event_count, answer.pending_count, answer.failed_count) == (4, 2, 1)
    changed = (await store.stub.GetEvent(pb.GetEventRequest(id=first))).event.update_time
    assert answer.oldest_pending_time == changed
    [space] = answer.spaces
    assert (space.column, space.model_name, space.dimension, space.fingerprint) == (
        "events.embedding", SPACE.model_name, SPACE.dimension, SPACE.fingerprint,
    )  # fmt: skip


async def test_partitions_follow_each_other_and_hold_all_events(store: StoreUnderTest) -> None:
    now = datetime.now(UTC)
    for months in range(3):
        await store.create(content={"text": "x"}, timestamp=(now - timedelta(days=31 * months)).isoformat())
    await store.rows("ANALYZE events")

    answer = await status(store)

    assert sum(one.row_count for one in answer.partitions) == answer.event_count == 3
    assert len(answer.partitions) >= 3
    assert all(one.bytes > 0 for one in answer.partitions)
    for one, later in zip(answer.partitions, answer.partitions[1:], strict=False):
        assert one.end_time.ToDatetime() <= later.start_time.ToDatetime()
    holding = [one for one in answer.partitions if one.row_count]
    assert any(one.start_time.ToDatetime(UTC) <= now < one.end_time.ToDatetime(UTC) for one in holding)


async def test_a_table_without_partitions_is_one_without_limits(
    new_database: NewDatabase, start_store: StartStore
) -> None:
    url = await new_database()
    await asyncio.to_thread(migrate.upgrade, plan(url), "0003")
    store = await start_store(database_url=url)

    [partition] = (await status(store)).partitions

    assert partition.name == "events"
    assert not partition.HasField("start_time")
    assert not partition.HasField("end_time")


async def test_indexes_of_partitions_count_as_one(store: StoreUnderTest) -> None:
    for number in range(20):
        await store.create(content={"text": f"text {number}"})

    indexes = {one.name: one for one in (await status(store)).indexes}

    for name in ("ix_events_embedding", "ix_events_pending", "ix_events_terms", "events_pkey", "event_keys_pkey"):
        assert indexes[name].valid
        assert indexes[name].bytes > 0
    assert indexes["ix_events_embedding"].table == "events"
    assert indexes["event_keys_pkey"].table == "event_keys"
    assert not [name for name in indexes if name.startswith("ix_events_embedding_")]


async def test_an_index_that_could_not_be_built_is_said_to_be_invalid(store: StoreUnderTest) -> None:
    await store.rows("INSERT INTO event_keys (event_id, timestamp) VALUES ($1, now()), ($2, now())", uuid4(), uuid4())
    with pytest.raises(Exception, match="unique"):
        await store.rows("CREATE UNIQUE INDEX CONCURRENTLY event_keys_odd ON event_keys ((1))")

    indexes = {one.name: one for one in (await status(store)).indexes}

    assert not indexes["event_keys_odd"].valid
    assert indexes["event_keys_pkey"].valid


async def test_a_pause_holds_for_all_stores_of_the_database(start_store: StartStore, store: StoreUnderTest) -> None:
    other = await start_store(database_url=store.database_url, backfill_interval_seconds=0.02)
    async with backfilling(store, other):
        for _ in range(2):  # again is harmless
            await store.admin.PauseBackfill(admin.PauseBackfillRequest())
        assert (await status(other)).backfill_paused
        await pend(store, "one", "two", "three")
        await asyncio.sleep(0.3)  # time for each to look several times
        assert (await status(other)).pending_count == 3

        for _ in range(2):
            await other.admin.ResumeBackfill(admin.ResumeBackfillRequest())

        await until_pending(store, 0)
    assert not (await status(store)).backfill_paused


async def test_a_poisonous_text_is_parked_and_the_rest_is_embedded(start_store: StartStore) -> None:
    store = await start_store(embedding_max_attempts=3)
    ids = await pend(store, *("poison" if number == 50 else f"text {number}" for number in range(101)))
    store.embedder.poison = {"poison"}
    # As if the time that a text waits for its next attempt had passed.
    while (await status(store)).pending_count:
        with contextlib.suppress(EmbedderFailedError):
            await store.backfill.run_once()
        await store.rows("UPDATE events SET embedding_retry_time = NULL")

    answer = await status(store)
    assert (answer.pending_count, answer.failed_count) == (0, 1)
    listed = await store.stub.ListEvents(pb.ListEventsRequest(embedding_state=FAILED))
    [event] = listed.events
    assert (event.id, event.embedding_attempts, event.embedding_error) == (ids[50], 3, "the embedder failed")
    value = store.registry.get_sample_value
    assert value("trimem_store_failed_embedding_attempts_total") == 3
    assert value("trimem_store_backfilled_events_total", {"state": "EMBEDDED"}) == 100
    assert value("trimem_store_backfilled_events_total", {"state": "FAILED"}) == 1


async def test_failed_events_are_embedded_after_a_retry(store: StoreUnderTest) -> None:
    store.embedder.refused = {"odd 1", "odd 2", "odd 3"}
    ids = [(await store.create(content={"text": f"odd {number}"})).id for number in (1, 2, 3)]
    store.embedder.refused = set()

    one = await store.admin.RetryFailedEvents(admin.RetryFailedEventsRequest(ids=[ids[1], str(uuid4())]))
    rest = await store.admin.RetryFailedEvents(admin.RetryFailedEventsRequest())

    assert (one.retried_count, rest.retried_count) == (1, 2)
    async with backfilling(store):
        await until_pending(store, 0)
    events = [(await store.stub.GetEvent(pb.GetEventRequest(id=id_))).event for id_ in ids]
    assert {(one.embedding_state, one.embedding_error, one.embedding_attempts) for one in events} == {
        (pb.EMBEDDING_STATE_EMBEDDED, "", 0)
    }


@pytest.mark.parametrize(
    ("ids", "field"), [(["not a uuid"], "ids[0]"), ([str(uuid4()), ""], "ids[1]"), ([str(uuid4())] * 1001, "ids")]
)
async def test_a_retry_of_odd_ids_is_refused_by_field(store: StoreUnderTest, ids: list[str], field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.admin.RetryFailedEvents(admin.RetryFailedEventsRequest(ids=ids))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith(f"{field}: ")


async def test_two_running_backfills_embed_every_event_once(start_store: StartStore, store: StoreUnderTest) -> None:
    other = await start_store(database_url=store.database_url, backfill_interval_seconds=0.02)
    store.embedder.go_down()
    await store.stub.BatchCreateEvents(
        pb.BatchCreateEventsRequest(requests=[create_request(content={"text": f"text {n}"}) for n in range(500)])
    )
    store.embedder.calls.clear()
    store.embedder.come_back()

    async with backfilling(store, other):
        await until_pending(store, 0)

    embedded = [text for call in store.embedder.calls for text in call]
    assert len(embedded) == len(set(embedded)) == 500


async def test_a_change_of_content_during_the_backfill_is_not_lost(store: StoreUnderTest) -> None:
    [identity] = await pend(store, "old text")
    store.embedder.calls.clear()
    store.embedder.gate.clear()
    working = asyncio.create_task(store.backfill.run_once())
    async with asyncio.timeout(PATIENCE):
        while not store.embedder.calls:
            await asyncio.sleep(0.01)
    update = pb.UpdateEventRequest(event=create_request(id=identity, content={"text": "new text"}).event)
    changing = asyncio.ensure_future(store.stub.UpdateEvent(update, timeout=PATIENCE))
    async with asyncio.timeout(PATIENCE):
        while len(store.embedder.calls) < 2:
            await asyncio.sleep(0.01)
    store.embedder.gate.set()
    await changing
    await working
    while await store.backfill.run_once():
        pass

    [hit] = (await store.stub.SearchEvents(pb.SearchEventsRequest(query="new text", mode=pb.SEARCH_MODE_VECTOR))).hits
    assert hit.event.content["text"] == "new text"
    assert hit.similarity == pytest.approx(1, abs=1e-5)


async def test_a_database_that_is_not_migrated_is_named(start_store: StartStore, store: StoreUnderTest) -> None:
    await store.rows("DROP TABLE switches")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await status(store)

    assert reason_of(caught.value) == "SCHEMA_MISMATCH"
