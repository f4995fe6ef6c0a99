"""What the store does when the embedder is down, slow, odd, or another one."""

import asyncio
from dataclasses import replace

import grpc
import pytest
import pytest_asyncio

from servicekit.errors import (
    DeadlineExceededError,
    InternalError,
    ResourceExhaustedError,
    TrimemError,
    UnavailableError,
)
from servicekit.status import reason_of
from store.errors import AdoptionRefusedError, EmbeddingSpaceMismatchError, EmbeddingSpaceUnknownError
from store.events import EventFilter
from store.use_cases.adopt_space import AdoptSpace
from tests.fixtures_store import (
    DIMENSION,
    OTHER_SPACE,
    SPACE,
    StartStore,
    StoreUnderTest,
    create_request,
    nearest,
    text_vector,
)
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

EMBEDDED, PENDING = pb.EMBEDDING_STATE_EMBEDDED, pb.EMBEDDING_STATE_PENDING
SKIPPED, FAILED = pb.EMBEDDING_STATE_SKIPPED, pb.EMBEDDING_STATE_FAILED


@pytest_asyncio.fixture
async def hard_store(start_store: StartStore) -> StoreUnderTest:
    """A store with strategy hard."""
    return await start_store(embedding_fail_strategy="hard")


async def states(store: StoreUnderTest) -> dict[str, str]:
    """Text and state of every event."""
    rows = await store.rows("SELECT content->>'text' AS text, embedding_state FROM events")
    return {row["text"]: row["embedding_state"] for row in rows}


PASSING = [
    UnavailableError("down"),
    ResourceExhaustedError("busy"),
    DeadlineExceededError("slow"),
    InternalError(),
]


@pytest.mark.parametrize("trouble", PASSING, ids=lambda one: type(one).__name__)
async def test_soft_stores_what_cannot_be_embedded_now_and_the_backfill_embeds_it(
    store: StoreUnderTest, trouble: TrimemError
) -> None:
    store.embedder.trouble = trouble

    event = await store.create(content={"text": "red apple"})

    assert event.embedding_state == PENDING
    with pytest.raises(TrimemError):
        await store.backfill.run_once()
    store.embedder.come_back()
    # A text that took too long lets others go first.
    await store.rows("UPDATE events SET embedding_retry_time = NULL")
    assert await store.backfill.run_once() == 1
    assert await store.backfill.run_once() == 0
    assert await store.rows("SELECT FROM events WHERE embedding_attempts > 0") == []
    [hit] = (await store.stub.SearchEvents(pb.SearchEventsRequest(query="red apple"))).hits
    assert hit.event.id == event.id
    assert hit.event.embedding_state == EMBEDDED
    assert hit.similarity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (UnavailableError("down"), grpc.StatusCode.UNAVAILABLE),
        (ResourceExhaustedError("busy"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (DeadlineExceededError("slow"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (InternalError(), grpc.StatusCode.UNAVAILABLE),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_hard_stores_nothing_while_the_embedder_is_down(
    hard_store: StoreUnderTest, trouble: TrimemError, code: grpc.StatusCode
) -> None:
    hard_store.embedder.trouble = trouble

    with pytest.raises(grpc.aio.AioRpcError) as one:
        await hard_store.create(content={"text": "x"}, request_id="r")
    with pytest.raises(grpc.aio.AioRpcError) as many:
        await hard_store.stub.BatchCreateEvents(
            pb.BatchCreateEventsRequest(requests=[create_request(content={"n": 1}), create_request(content={"t": "x"})])
        )

    assert one.value.code() is many.value.code() is code
    assert await hard_store.rows("SELECT FROM event_keys") == []
    hard_store.embedder.come_back()
    assert (await hard_store.create(content={"text": "x"}, request_id="r")).embedding_state == EMBEDDED


async def test_an_event_without_text_needs_no_embedder(hard_store: StoreUnderTest) -> None:
    hard_store.embedder.go_down()

    assert (await hard_store.create(content={"n": 1})).embedding_state == SKIPPED


async def test_a_slow_embedder_leaves_time_to_store(store: StoreUnderTest) -> None:
    store.embedder.gate.clear()

    answer = await store.stub.CreateEvent(create_request(content={"text": "x"}), timeout=1)

    assert answer.event.embedding_state == PENDING


async def test_a_stopped_embedder_does_not_stop_writes(store: StoreUnderTest) -> None:
    store.embedder.trouble = UnavailableError("down")

    answer = await store.stub.BatchCreateEvents(
        pb.BatchCreateEventsRequest(requests=[create_request(content={"text": f"text {n}"}) for n in range(100)])
    )

    assert {one.event.embedding_state for one in answer.results} == {PENDING}
    assert (await store.repositories.outbox.backlog()).pending == 100
    # Nothing is gained by asking it for the second half.
    assert {len(call) for call in store.embedder.calls} == {64}


@pytest.mark.parametrize("named", [True, False])
async def test_soft_stores_a_refused_text_as_failed_and_embeds_the_others(store: StoreUnderTest, named: bool) -> None:
    store.embedder.refused = {"odd 3", "odd 7"}
    store.embedder.names_refused = named
    texts = [f"odd {number}" for number in range(10)]

    answer = await store.stub.BatchCreateEvents(
        pb.BatchCreateEventsRequest(requests=[create_request(content={"text": text}) for text in texts])
    )

    found = [one.event.embedding_state for one in answer.results]
    assert found == [FAILED if number in (3, 7) else EMBEDDED for number in range(10)]
    rows = await store.rows("SELECT content->>'text' AS text, embedding::text AS vector FROM events")
    for row in rows:
        if row["vector"] is not None:
            stored = [float(value) for value in row["vector"][1:-1].split(",")]
            assert stored == pytest.approx(text_vector(row["text"]).tolist(), abs=1e-5)


async def test_hard_refuses_a_refused_text_and_stores_the_others(hard_store: StoreUnderTest) -> None:
    hard_store.embedder.refused = {"odd"}

    answer = await hard_store.stub.BatchCreateEvents(
        pb.BatchCreateEventsRequest(
            requests=[create_request(content={"text": "odd"}), create_request(content={"text": "fine"})]
        )
    )

    assert answer.results[0].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert answer.results[0].error.message.startswith("event.content: ")
    assert await states(hard_store) == {"fine": "EMBEDDED"}


async def test_the_backfill_settles_everything_that_is_pending(store: StoreUnderTest) -> None:
    await store.rows(
        "INSERT INTO events (id, content) SELECT gen_random_uuid(), jsonb_build_object('text', 'text ' || n) "
        "FROM generate_series(1, 100) AS n"
    )
    await store.rows('INSERT INTO events (id, content) VALUES (gen_random_uuid(), \'{"text": " "}\')')
    await store.rows("INSERT INTO events (id, content) VALUES (gen_random_uuid(), '[1, 2]')")
    store.embedder.refused = {"text 5"}

    assert [await store.backfill.run_once() for _ in range(3)] == [64, 38, 0]

    found = await store.rows("SELECT embedding_state AS state, count(*) FROM events GROUP BY 1")
    assert {row["state"]: row["count"] for row in found} == {"EMBEDDED": 99, "FAILED": 1, "SKIPPED": 2}
    assert store.registry.get_sample_value("trimem_store_backfilled_events_total", {"state": "EMBEDDED"}) == 99


async def test_two_backfills_at_once_embed_every_event_once(start_store: StartStore) -> None:
    one = await start_store()
    other = await start_store(database_url=one.database_url)
    one.embedder.go_down()
    await one.create(content={"text": "x"})
    one.embedder.come_back()

    await asyncio.gather(one.backfill.run_once(), other.backfill.run_once())

    assert await states(one) == {"x": "EMBEDDED"}


async def test_the_running_backfill_survives_an_outage_and_counts_what_waits(start_store: StartStore) -> None:
    store = await start_store(backfill_interval_seconds=0.01)
    store.embedder.go_down()
    await store.create(content={"text": "x"})
    store.embedder.calls.clear()
    running = asyncio.create_task(store.backfill.run())
    try:
        async with asyncio.timeout(30):
            while not store.embedder.calls:
                await asyncio.sleep(0.01)
            store.embedder.come_back()
            while await states(store) != {"x": "EMBEDDED"}:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_an_embedder_with_another_model_is_refused_and_nothing_is_stored(store: StoreUnderTest) -> None:
    await store.create(content={"text": "old"})
    store.embedder.space = OTHER_SPACE

    with pytest.raises(grpc.aio.AioRpcError) as one:
        await store.create(content={"text": "new"})
    with pytest.raises(grpc.aio.AioRpcError) as many:
        await store.stub.BatchCreateEvents(
            pb.BatchCreateEventsRequest(requests=[create_request(content={"n": 1}), create_request(content={"t": "x"})])
        )
    with pytest.raises(grpc.aio.AioRpcError) as search:
        await store.stub.SearchEvents(pb.SearchEventsRequest(query="old"))

    for caught in (one, many, search):
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason_of(caught.value) == "EMBEDDING_SPACE_MISMATCH"
        assert SPACE.model_name in (caught.value.details() or "")
        assert OTHER_SPACE.model_name in (caught.value.details() or "")
    assert await states(store) == {"old": "EMBEDDED"}


async def test_an_embedder_of_another_dimension_is_refused(store: StoreUnderTest) -> None:
    store.embedder.space = replace(SPACE, dimension=DIMENSION * 2)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.create(content={"text": "new"})

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(caught.value) == "EMBEDDING_SPACE_MISMATCH"
    assert f"{DIMENSION} dimensions" in (caught.value.details() or "")
    assert await states(store) == {}


async def test_the_backfill_does_not_mix_models(store: StoreUnderTest) -> None:
    await store.create(content={"text": "old"})
    store.embedder.go_down()
    await store.create(content={"text": "late"})
    store.embedder.come_back()
    store.embedder.space = OTHER_SPACE

    with pytest.raises(EmbeddingSpaceMismatchError):
        await store.backfill.run_once()

    assert await states(store) == {"old": "EMBEDDED", "late": "PENDING"}
    store.embedder.space = SPACE
    await store.backfill.run_once()
    assert await states(store) == {"old": "EMBEDDED", "late": "EMBEDDED"}


async def forget_space(store: StoreUnderTest) -> None:
    """Make the vectors of a store look as if they had come from the monolith."""
    await store.rows("DELETE FROM embedding_spaces")


def adoption(store: StoreUnderTest) -> AdoptSpace:
    """`adopt-space` with the embedder of a store."""
    return AdoptSpace(store.repositories.spaces, store.embedding)


async def test_vectors_of_an_unknown_model_are_not_mixed_until_it_is_adopted(store: StoreUnderTest) -> None:
    for number in range(25):
        await store.create(content={"text": f"old {number}"})
    await forget_space(store)

    for call in (store.create(content={"text": "new"}), store.stub.SearchEvents(pb.SearchEventsRequest(query="old"))):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason_of(caught.value) == "EMBEDDING_SPACE_UNKNOWN"
        assert "python -m store adopt-space" in (caught.value.details() or "")
    with pytest.raises(EmbeddingSpaceUnknownError):
        await nearest(store.repositories.search, text_vector("x"), None, EventFilter(), 1)

    adopted = await adoption(store).run()

    assert (adopted.is_new, adopted.compared, adopted.space) == (True, 20, SPACE)
    assert adopted.median == pytest.approx(1, abs=1e-5)
    assert (await store.create(content={"text": "new"})).embedding_state == EMBEDDED
    assert not (await adoption(store).run()).is_new


async def test_a_model_that_did_not_make_the_vectors_is_adopted_by_force_only(store: StoreUnderTest) -> None:
    await store.create(content={"text": "old"})
    await forget_space(store)
    await store.rows('UPDATE events SET content = \'{"text": "quite another text"}\'')

    with pytest.raises(AdoptionRefusedError, match="median cosine"):
        await adoption(store).run()
    assert await store.repositories.spaces.space() is None

    assert (await adoption(store).run(force=True)).space == SPACE


async def test_vectors_without_texts_are_adopted_by_force_only(store: StoreUnderTest) -> None:
    await store.create(content={"text": "old"})
    await forget_space(store)
    await store.rows("UPDATE events SET content = '{\"n\": 1}'")

    with pytest.raises(AdoptionRefusedError, match="no stored vector has a text"):
        await adoption(store).run()

    assert (await adoption(store).run(force=True)).compared == 0


async def test_there_is_nothing_to_adopt_in_an_empty_database(store: StoreUnderTest) -> None:
    with pytest.raises(AdoptionRefusedError, match="no vectors"):
        await adoption(store).run(force=True)


async def test_adoption_needs_the_embedder(store: StoreUnderTest) -> None:
    await store.create(content={"text": "old"})
    await forget_space(store)
    store.embedder.go_down()

    with pytest.raises(UnavailableError):
        await adoption(store).run(force=True)

    assert await store.repositories.spaces.space() is None


async def test_calls_carry_the_request_id_to_the_embedder(store: StoreUnderTest) -> None:
    await store.stub.CreateEvent(create_request(content={"text": "x"}), metadata=(("x-request-id", "trace-me"),))

    assert store.embedder.request_ids == ["trace-me"]
    assert store.embedder.domains == [embedding_pb2.DOMAIN_TEXT]
