"""What both clients do again, and what they do not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from servicekit import errors as server_errors
from tests.fixtures_client import Caller, caller, failing, fake_services
from tests.fixtures_gateway import Fake
from trimem.client import (
    AbortedError,
    Embedding,
    Event,
    InternalError,
    InvalidArgumentError,
    NewEvent,
    NotFoundError,
    ResourceExhaustedError,
    RetryPolicy,
    UnavailableError,
    wire_async,
    wire_sync,
)
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

GONE = server_errors.UnavailableError("gone fishing", retry_after=None)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that clients wanted to wait; they do not."""
    wanted: list[float] = []

    async def note(seconds: float) -> None:
        wanted.append(seconds)

    monkeypatch.setattr(wire_sync, "sleep", wanted.append)
    monkeypatch.setattr(wire_async, "sleep", note)
    return wanted


@pytest_asyncio.fixture(params=["sync", "async"])
async def call(request: pytest.FixtureRequest, fake: Fake, pauses: list[float]) -> AsyncIterator[Caller]:
    async with fake_services(fake) as target, caller(request.param, target, retry=RetryPolicy()) as made:
        yield made


async def answer(request: Any, _context: Any) -> Any:
    """What a good store answers."""
    match request:
        case pb.CreateEventRequest():
            return pb.CreateEventResponse(event=request.event)
        case pb.BatchCreateEventsRequest():
            results = [pb.BatchCreateEventsResult(event=one.event) for one in request.requests]
            return pb.BatchCreateEventsResponse(results=results)
        case pb.DeleteEventRequest():
            return pb.DeleteEventResponse()
        case embedding_pb2.EmbedStreamRequest():
            return embedding_pb2.EmbedStreamResponse(embedding=embedding_pb2.Embedding(token_count=len(request.input)))
    return pb.UpdateEventResponse(event=request.event)


async def test_a_write_is_made_again_under_the_same_ids(call: Caller, fake: Fake, pauses: list[float]) -> None:
    fake.act = failing(3, GONE, answer)
    event = await call("remember", "tea")
    assert event.content == {"text": "tea"}
    assert len(fake.requests) == 4
    assert len({request.request_id for request in fake.requests}) == 1
    assert len(pauses) == 3
    assert pauses == sorted(pauses), "each pause is longer than the one before"


async def test_in_the_end_the_error_comes_out(call: Caller, fake: Fake) -> None:
    fake.act = failing(99, GONE, answer)
    with pytest.raises(UnavailableError, match="gone fishing"):
        await call("remember", "tea")
    assert len(fake.requests) == RetryPolicy().attempts


async def test_the_server_says_when_to_come_back(call: Caller, fake: Fake, pauses: list[float]) -> None:
    fake.act = failing(1, server_errors.ResourceExhaustedError("too many requests", retry_after=7.0), answer)
    await call("remember", "tea")
    assert len(pauses) == 1
    assert 7.0 <= pauses[0] < 10.0


async def test_a_time_to_come_back_beyond_the_timeout_is_not_waited_for(
    call: Caller, fake: Fake, pauses: list[float]
) -> None:
    fake.act = failing(1, server_errors.ResourceExhaustedError("too many requests", retry_after=60.0), answer)
    with pytest.raises(ResourceExhaustedError) as raised:
        await call("remember", "tea")
    assert raised.value.retry_after == 60.0
    assert pauses == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (server_errors.InvalidArgumentError("event", "is odd"), InvalidArgumentError),
        (server_errors.InternalError(), InternalError),
        (server_errors.ResourceExhaustedError("too large"), ResourceExhaustedError),
        (server_errors.AbortedError("lost a race"), AbortedError),
    ],
)
async def test_what_will_not_pass_by_itself_is_not_made_again(
    call: Caller, fake: Fake, error: server_errors.TrimemError, expected: type[Exception]
) -> None:
    fake.act = failing(99, error, answer)
    with pytest.raises(expected):
        await call("update", "e1", content={"text": "tea"})
    assert len(fake.requests) == 1


async def test_an_update_that_was_in_the_way_of_another_one_is_made_again(call: Caller, fake: Fake) -> None:
    fake.act = failing(1, server_errors.AbortedError("being embedded", retry_after=0.5), answer)
    await call("update", "e1", content={"text": "tea"})
    assert len(fake.requests) == 2


async def test_a_delete_whose_answer_was_lost_is_done(call: Caller, fake: Fake) -> None:
    errors: list[server_errors.TrimemError] = [GONE, server_errors.NotFoundError("no event has the id e1")]

    async def act(_request: Any, _context: Any) -> Any:
        raise errors.pop(0)

    fake.act = act
    assert await call("delete", "e1") is None
    errors = [server_errors.NotFoundError("no event has the id e1")]
    with pytest.raises(NotFoundError):
        await call("delete", "e1")


async def test_a_batch_is_made_again_under_the_same_ids(call: Caller, fake: Fake) -> None:
    fake.act = failing(2, GONE, answer)
    results = await call("create_many", [NewEvent(content={"n": n}) for n in range(3)])
    assert [result.content for result in results] == [{"n": 0}, {"n": 1}, {"n": 2}]
    ids = [[one.request_id for one in request.requests] for request in fake.requests]
    assert len(ids) == 3
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids[0])) == 3
    assert all(isinstance(result, Event) for result in results)


async def test_a_stream_of_embeddings_is_begun_again(call: Caller, fake: Fake) -> None:
    fake.act = failing(2, GONE, answer)
    results = await call("embed_many", ["a", "bb", "ccc"])
    assert [result.token_count for result in results] == [1, 2, 3]
    assert all(isinstance(result, Embedding) for result in results)


async def test_retries_can_be_switched_off(fake: Fake) -> None:
    fake.act = failing(99, GONE, answer)
    async with fake_services(fake) as target, caller("sync", target, retry=RetryPolicy(attempts=1)) as call:
        with pytest.raises(UnavailableError):
            await call("remember", "tea")
    assert len(fake.requests) == 1


async def test_a_server_that_comes_back_is_found(fake: Fake) -> None:
    """The connection itself is lost, not only an answer."""
    fake.act = answer
    async with fake_services(fake) as target:
        port = int(target.rpartition(":")[2])
    async with caller("async", f"127.0.0.1:{port}", retry=RetryPolicy(attempts=50, first_pause=0.05)) as call:
        waiting = asyncio.create_task(call("remember", "tea"))
        await asyncio.sleep(0.2)
        async with fake_services(fake, port) as _target:
            event = await waiting
    assert event.content == {"text": "tea"}
