"""Both clients against a server of ours that does what it is told."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio

from servicekit import errors as server_errors
from tests.fixtures_client import Caller, answering, caller, fake_services
from tests.fixtures_gateway import NOWHERE, Fake
from trimem.client import (
    AsyncTrimemClient,
    DeadlineExceededError,
    Domain,
    EmbeddingState,
    InputKind,
    InvalidArgumentError,
    NewEvent,
    NotFoundError,
    ResourceExhaustedError,
    SearchMode,
    TrimemClient,
    TrimemError,
    UnavailableError,
)
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest_asyncio.fixture
async def target(fake: Fake) -> AsyncIterator[str]:
    async with fake_services(fake) as address:
        yield address


@pytest_asyncio.fixture(params=["sync", "async"])
async def call(request: pytest.FixtureRequest, target: str) -> AsyncIterator[Caller]:
    async with caller(request.param, target, api_key="secret") as made:
        yield made


def stored(**fields: Any) -> pb.Event:
    event = pb.Event(id="e1", embedding_state=pb.EMBEDDING_STATE_PENDING, **fields)
    event.timestamp.FromDatetime(NOON)
    event.content.update({"text": "hello", "n": 3, "deep": [1.5, None, {"a": True}]})
    return event


async def test_remember_sends_a_text_with_an_id_of_the_write_and_the_key(call: Caller, fake: Fake) -> None:
    fake.act = answering(pb.CreateEventResponse(event=stored()))
    event = await call("remember", "hello", metadata={"person": "ada"})
    request = fake.requests[0]
    assert request.event.content["text"] == "hello"
    assert request.event.metadata["person"] == "ada"
    assert len(request.request_id) == 32
    assert fake.metadata["authorization"] == "Bearer secret"
    assert event.embedding_state is EmbeddingState.PENDING
    assert event.timestamp == NOON
    assert event.content == {"text": "hello", "n": 3, "deep": [1.5, None, {"a": True}]}


async def test_all_of_an_event_is_sent(call: Caller, fake: Fake) -> None:
    vienna = NOON.astimezone(tz=None)
    await call(
        "create",
        NewEvent(content={"a": 1}, id="x", timestamp=vienna, request_id="r", vector=(0.5, 1.0), vector_fingerprint="f"),
    )
    request = fake.requests[0]
    assert (request.event.id, request.request_id, request.vector_fingerprint) == ("x", "r", "f")
    assert request.event.timestamp.ToDatetime(tzinfo=UTC) == NOON
    assert list(request.vector.values) == [0.5, 1.0]


async def test_an_update_names_what_it_changes(call: Caller, fake: Fake) -> None:
    await call("update", "e1", metadata={})
    assert list(fake.requests[0].update_mask.paths) == ["metadata"]
    with pytest.raises(ValueError, match="nothing to change"):
        await call("update", "e1")


async def test_a_list_goes_through_all_pages_with_the_same_filter(call: Caller, fake: Fake) -> None:
    async def act(request: pb.ListEventsRequest, _context: Any) -> pb.ListEventsResponse:
        page = int(request.page_token or 0)
        return pb.ListEventsResponse(events=[stored()], next_page_token="" if page == 2 else str(page + 1))

    fake.act = act
    events = await call(
        "list", metadata_filter={"person": "ada"}, start_time=NOON, embedding_state=EmbeddingState.FAILED
    )
    assert len(events) == 3
    assert [request.page_token for request in fake.requests] == ["", "1", "2"]
    for request in fake.requests:
        assert request.metadata_filter["person"] == "ada"
        assert request.start_time.ToDatetime(tzinfo=UTC) == NOON
        assert request.embedding_state == pb.EMBEDDING_STATE_FAILED


async def test_a_search_is_one_page_or_all(call: Caller, fake: Fake) -> None:
    async def act(request: pb.SearchEventsRequest, _context: Any) -> pb.SearchEventsResponse:
        return pb.SearchEventsResponse(
            hits=[pb.SearchHit(event=stored(), score=0.75)],
            mode=pb.SEARCH_MODE_LEXICAL,
            degraded=True,
            next_page_token="" if request.page_token else "more",
        )

    fake.act = act
    page = await call("search", "tea", min_similarity=0.0, recency_half_life=timedelta(days=1.5), page_size=1)
    assert [hit.score for hit in page.hits] == [0.75]
    assert (page.mode, page.degraded, page.complete) == (SearchMode.LEXICAL, True, False)
    assert fake.requests[0].HasField("min_similarity")
    assert fake.requests[0].recency_half_life.seconds == 129_600
    pages = await call("search_pages", vector=[1, 0], mode=SearchMode.VECTOR)
    assert len(pages) == 2
    assert [request.page_token for request in fake.requests] == ["", "", "more"]
    assert fake.requests[1].mode == pb.SEARCH_MODE_VECTOR


async def test_embeddings_know_their_model(call: Caller, fake: Fake) -> None:
    answer = embedding_pb2.EmbedResponse(
        embeddings=[embedding_pb2.Embedding(text=embedding_pb2.Vector(values=[0.25, 0.5]), token_count=3)],
        models=[embedding_pb2.ModelInfo(domain=embedding_pb2.DOMAIN_TEXT, name="m", fingerprint="f", dimension=2)],
    )
    fake.act = answering(answer)
    [embedding] = await call("embed", "a text", kind=InputKind.QUERY)
    assert list(fake.requests[0].inputs) == ["a text"]
    assert fake.requests[0].kind == embedding_pb2.INPUT_KIND_QUERY
    assert embedding.text == (0.25, 0.5)
    assert embedding.code is None
    assert embedding.models[0].fingerprint == "f"
    assert embedding.models[0].domain is Domain.TEXT


async def test_texts_and_vectors_are_compared_tokens_counted_and_models_shown(call: Caller, fake: Fake) -> None:
    fake.act = answering(embedding_pb2.ComputeSimilarityResponse(cosine=0.5, score=0.75))
    assert (await call("similarity", "a", (1.0, 0.0), domain=Domain.CODE)).score == 0.75
    assert fake.requests[0].first.text == "a"
    assert list(fake.requests[0].second.vector.values) == [1.0, 0.0]
    fake.act = answering(embedding_pb2.CountTokensResponse(token_counts=[3, 4], max_tokens=256))
    assert (await call("count_tokens", ["a", "b"])).token_counts == (3, 4)
    # One model, in the state 99, and 7 bytes of memory.
    fake.act = answering(embedding_pb2.ListModelsResponse.FromString(b"\x0a\x02\x50\x63\x10\x07"))
    models = await call("models")
    assert models.rss_bytes == 7
    assert models.models[0].state is None, "a state of a newer server must not break the client"


async def test_health_is_told_for_each_service(call: Caller) -> None:
    health = await call("health")
    assert health.serving
    assert health.services == {
        "trimem.store.v1.EventService": True,
        "trimem.embedding.v1.EmbeddingService": True,
    }


async def test_an_error_has_all_that_the_server_says(call: Caller, fake: Fake) -> None:
    async def act(_request: Any, _context: Any) -> Any:
        raise server_errors.InvalidArgumentError("event.content.text", "must not contain the character U+0000")

    fake.act = act
    with pytest.raises(InvalidArgumentError) as raised:
        await call("create", NewEvent(content={"text": "\0"}))
    error = raised.value
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_ARGUMENT"
    assert [violation.field for violation in error.violations] == ["event.content.text"]
    assert error.request_id == fake.metadata["x-request-id"]
    assert error.retry_after is None


async def test_a_call_without_an_answer_ends_with_its_timeout(call: Caller, fake: Fake) -> None:
    async def act(_request: Any, context: Any) -> Any:
        await asyncio.sleep(60)

    fake.act = act
    with pytest.raises(DeadlineExceededError):
        await call("get", "e1", timeout=0.1)
    assert fake.time_given is not None
    assert fake.time_given < 1


async def test_every_call_has_a_deadline(call: Caller, fake: Fake) -> None:
    async def act(_request: Any, _context: Any) -> Any:
        return pb.GetEventResponse(event=stored())

    fake.act = act
    await call("get", "e1")
    assert fake.time_given is not None
    assert fake.time_given < 31  # gRPC rounds up what it sends


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_gateway_that_is_not_there_is_unavailable(kind: str) -> None:
    async with caller(kind, NOWHERE) as call:
        with pytest.raises(UnavailableError) as raised:
            await call("health")
    assert raised.value.reason == ""
    assert raised.value.request_id


async def test_content_that_would_arrive_changed_is_refused_here(call: Caller, fake: Fake) -> None:
    with pytest.raises(InvalidArgumentError, match=r"event\.content\.n: is an integer beyond"):
        await call("create", NewEvent(content={"n": 2**53 + 1}))
    assert fake.requests == []


async def test_what_a_server_refuses_for_its_size_is_an_error_without_retry(call: Caller, fake: Fake) -> None:
    with pytest.raises(ResourceExhaustedError) as raised:
        await call("create", NewEvent(content={"text": "x" * 17 * 1024 * 1024}))
    assert raised.value.retry_after is None


async def test_a_sync_client_serves_many_threads(target: str, fake: Fake) -> None:
    async def act(request: pb.GetEventRequest, _context: Any) -> pb.GetEventResponse:
        await asyncio.sleep(0)
        return pb.GetEventResponse(event=pb.Event(id=request.id))

    fake.act = act
    with TrimemClient(target) as client:
        threads = [asyncio.to_thread(_get_many, client, f"thread-{n}") for n in range(16)]
        assert all(await asyncio.gather(*threads))
    assert len(fake.requests) == 16 * 25
    assert len({request.id for request in fake.requests}) == 16 * 25


def _get_many(client: TrimemClient, name: str) -> bool:
    ids = [f"{name}-{n}" for n in range(25)]
    return [client.get(one).id for one in ids] == ids


def test_an_async_client_is_made_in_its_event_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncTrimemClient()


async def test_a_cancelled_call_is_cancelled_on_the_server(target: str, fake: Fake) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def act(_request: Any, _context: Any) -> Any:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    fake.act = act
    async with AsyncTrimemClient(target) as client:
        task = asyncio.create_task(client.get("e1"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            await ended.wait()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_call_of_a_client_that_is_closed_meanwhile_fails(kind: str, target: str, fake: Fake) -> None:
    begun = asyncio.Event()

    async def act(_request: Any, _context: Any) -> Any:
        begun.set()
        await asyncio.sleep(60)

    fake.act = act
    async with caller(kind, target) as call:
        calling = asyncio.create_task(call("get", "e1"))
        await begun.wait()
    with pytest.raises(TrimemError) as raised:
        await calling
    assert raised.value.code is grpc.StatusCode.CANCELLED


async def test_not_found_is_an_exception_of_its_own(call: Caller, fake: Fake) -> None:
    async def act(_request: Any, _context: Any) -> Any:
        raise server_errors.NotFoundError("no event has the id e1")

    fake.act = act
    with pytest.raises(NotFoundError, match="no event has the id e1"):
        await call("get", "e1")
    with pytest.raises(NotFoundError):
        await call("delete", "e1")
