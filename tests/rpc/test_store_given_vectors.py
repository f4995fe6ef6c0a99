"""Vectors that callers bring: taken when they are of the model of the stored ones, and never decide which that is."""

import math
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from servicekit.status import reason_of, status_of
from tests.fixtures_store import (
    DIMENSION,
    OTHER_SPACE,
    SPACE,
    StartStore,
    StoreUnderTest,
    create_request,
    text_vector,
)
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

GOOD = text_vector("good").tolist()


@pytest_asyncio.fixture
async def store(start_store: StartStore) -> StoreUnderTest:
    """A store with a recorded space and nothing in its embedder's memory."""
    store = await start_store()
    await store.create(content={"text": "the first one"})
    store.embedder.calls.clear()
    return store


def given(
    values: list[float], fingerprint: str = SPACE.fingerprint, content: dict[str, Any] | None = None
) -> pb.CreateEventRequest:
    """A request with a vector."""
    request = create_request(content=content or {"text": "whatever it is"})
    request.vector.CopyFrom(embedding_pb2.Vector(values=values))
    request.vector_fingerprint = fingerprint
    return request


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """What a call fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_given_vector_is_stored_and_the_embedder_is_not_asked(store: StoreUnderTest) -> None:
    vector = text_vector("red apple")

    answer = await store.stub.CreateEvent(given((vector * 1e20).tolist(), content={"text": "green pear"}))

    assert answer.event.embedding_state == pb.EMBEDDING_STATE_EMBEDDED
    assert store.embedder.calls == []
    [row] = await store.rows("SELECT embedding::text AS vector FROM events WHERE content->>'text' = 'green pear'")
    assert np.allclose([float(value) for value in row["vector"][1:-1].split(",")], vector, atol=1e-6)
    words = await store.stub.SearchEvents(pb.SearchEventsRequest(query="pear", mode=pb.SEARCH_MODE_LEXICAL))
    assert [hit.event.id for hit in words.hits] == [answer.event.id]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (given([1.0] * (DIMENSION - 1)), "vector"),
        (given([1.0] * (DIMENSION + 1)), "vector"),
        (given([]), "vector"),
        (given([0.0] * DIMENSION), "vector"),
        (given([1.0, math.nan] * (DIMENSION // 2)), "vector"),
        (given([1.0, -math.inf] * (DIMENSION // 2)), "vector"),
        (given(GOOD, content={"n": 1}), "vector"),
        (given(GOOD, fingerprint=""), "vector_fingerprint"),
        (
            pb.CreateEventRequest(event=create_request(content={"n": 1}).event, vector_fingerprint="x"),
            "vector_fingerprint",
        ),
    ],
)
async def test_a_wrong_vector_is_refused_by_name(
    store: StoreUnderTest, request_: pb.CreateEventRequest, field: str
) -> None:
    error = await failure(store.stub.CreateEvent(request_))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.details() or "").startswith(f"{field}: ")
    assert len(await store.rows("SELECT FROM events")) == 1


async def test_a_vector_of_another_model_is_refused_and_its_neighbours_are_stored(store: StoreUnderTest) -> None:
    alone = await failure(store.stub.CreateEvent(given(GOOD, OTHER_SPACE.fingerprint)))
    batch = await store.stub.BatchCreateEvents(
        pb.BatchCreateEventsRequest(
            requests=[given(GOOD), given(GOOD, OTHER_SPACE.fingerprint), create_request(content={"text": "plain"})]
        )
    )

    assert alone.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(alone) == "EMBEDDING_SPACE_MISMATCH"
    assert SPACE.model_name in (alone.details() or "")
    assert [one.error.code for one in batch.results] == [0, grpc.StatusCode.FAILED_PRECONDITION.value[0], 0]
    assert batch.results[1].error.message == status_of(alone).message
    assert store.embedder.calls == [["plain"]]
    assert len(await store.rows("SELECT FROM events WHERE embedding IS NOT NULL")) == 3


async def test_the_first_vector_of_all_must_be_of_the_embedders_model(start_store: StartStore) -> None:
    store = await start_store()

    error = await failure(store.stub.CreateEvent(given(GOOD, OTHER_SPACE.fingerprint)))

    assert reason_of(error) == "EMBEDDING_SPACE_MISMATCH"
    assert await store.repositories.spaces.space() is None
    answer = await store.stub.CreateEvent(given(GOOD))
    assert answer.event.embedding_state == pb.EMBEDDING_STATE_EMBEDDED
    assert await store.repositories.spaces.space() == SPACE


async def test_without_embedder_the_first_vector_of_all_waits_and_later_ones_do_not(start_store: StartStore) -> None:
    store = await start_store()
    store.embedder.go_down()
    first = await store.stub.CreateEvent(given(GOOD, OTHER_SPACE.fingerprint))
    assert first.event.embedding_state == pb.EMBEDDING_STATE_PENDING
    store.embedder.come_back()
    await store.backfill.run_once()
    store.embedder.go_down()

    second = await store.stub.CreateEvent(given(GOOD))

    assert second.event.embedding_state == pb.EMBEDDING_STATE_EMBEDDED


async def test_hard_needs_the_embedder_for_the_first_vector_of_all(start_store: StartStore) -> None:
    store = await start_store(embedding_fail_strategy="hard")
    store.embedder.go_down()

    error = await failure(store.stub.CreateEvent(given(GOOD)))

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert await store.rows("SELECT FROM events") == []


async def test_vectors_are_taken_without_automatic_embedding(start_store: StartStore) -> None:
    store = await start_store(embedding_auto_generate=False)

    batch = await store.stub.BatchCreateEvents(
        pb.BatchCreateEventsRequest(requests=[given(GOOD), create_request(content={"text": "plain"})])
    )

    assert [one.event.embedding_state for one in batch.results] == [
        pb.EMBEDDING_STATE_EMBEDDED,
        pb.EMBEDDING_STATE_SKIPPED,
    ]


async def test_a_vector_does_not_tell_what_model_made_the_old_ones(store: StoreUnderTest) -> None:
    await store.rows("DELETE FROM embedding_spaces")

    error = await failure(store.stub.CreateEvent(given(GOOD)))

    assert reason_of(error) == "EMBEDDING_SPACE_UNKNOWN"
    assert len(await store.rows("SELECT FROM events")) == 1
