"""Many events through both clients: order, back-pressure, what fails alone, and what is broken off."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest
import pytest_asyncio

from servicekit import errors as server_errors
from tests.fixtures_client import Caller, caller, fake_services
from tests.fixtures_gateway import PATIENCE, Fake, within_patience
from trimem.client import (
    AsyncTrimemClient,
    Event,
    FailedPreconditionError,
    ImportSummary,
    InvalidArgumentError,
    NewEvent,
    ResourceExhaustedError,
    TrimemClient,
    TrimemError,
)
from trimem.client.batches import MOST_EVENTS
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

#: Calls under way, and the one that is being filled.
AHEAD = 4


@pytest.fixture
def fake() -> Fake:
    return Fake(act=store_all)


@pytest_asyncio.fixture
async def target(fake: Fake) -> AsyncIterator[str]:
    async with fake_services(fake) as address:
        yield address


@pytest_asyncio.fixture(params=["sync", "async"])
async def call(request: pytest.FixtureRequest, target: str) -> AsyncIterator[Caller]:
    async with caller(request.param, target) as made:
        yield made


async def store_all(request: Any, _context: Any) -> Any:
    """What a store answers that has room for everything."""
    results = [pb.BatchCreateEventsResult(event=one.event) for one in request.requests]
    return pb.BatchCreateEventsResponse(results=results)


def numbered(count: int) -> Iterator[NewEvent]:
    return (NewEvent(content={"n": n}) for n in range(count))


async def numbered_later(count: int) -> AsyncIterator[NewEvent]:
    for event in numbered(count):
        await asyncio.sleep(0)
        yield event


@pytest.mark.parametrize("count", [0, 1, MOST_EVENTS, 5 * MOST_EVENTS + 7])
async def test_results_come_in_the_order_of_the_events(call: Caller, fake: Fake, count: int) -> None:
    async def shuffled(request: Any, context: Any) -> Any:
        await asyncio.sleep(0.02 if len(fake.requests) % 2 else 0)  # later calls may be answered first
        return await store_all(request, context)

    fake.act = shuffled
    results = await call("create_many", numbered(count))
    assert [result.content["n"] for result in results] == list(range(count))
    assert sum(len(request.requests) for request in fake.requests) == count


async def test_an_async_client_takes_what_comes_asynchronously(target: str) -> None:
    async with AsyncTrimemClient(target) as client:
        summary = await client.import_events(numbered_later(300))
    assert summary == ImportSummary(stored=300)


async def test_events_are_read_no_faster_than_they_are_stored(call: Caller, fake: Fake) -> None:
    stores = asyncio.Event()
    read = 0

    def source() -> Iterator[NewEvent]:
        nonlocal read
        for event in numbered(50 * MOST_EVENTS):
            read += 1
            yield event

    async def hold(request: Any, context: Any) -> Any:
        await stores.wait()
        return await store_all(request, context)

    fake.act = hold
    importing = asyncio.create_task(call("import_events", source()))
    async with asyncio.timeout(20):
        while len(fake.requests) < 2:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)  # time to read on, if it would
    assert read <= AHEAD * MOST_EVENTS
    stores.set()
    assert (await within_patience(importing)).stored == 50 * MOST_EVENTS


async def test_progress_is_told_as_it_goes(call: Caller) -> None:
    told: list[int] = []
    await call("import_events", numbered(3 * MOST_EVENTS), on_progress=lambda summary: told.append(summary.settled))
    assert told == [MOST_EVENTS, 2 * MOST_EVENTS, 3 * MOST_EVENTS]


async def test_an_event_that_no_message_can_hold_fails_alone(call: Caller) -> None:
    events = [NewEvent(content={"n": 1}), NewEvent(content={"n": 2**60}), NewEvent(content={"n": 3})]
    results = await call("create_many", events)
    assert [type(result) for result in results] == [Event, InvalidArgumentError, Event]


async def test_an_event_that_is_larger_than_the_server_takes_fails_alone(call: Caller) -> None:
    events = [NewEvent(content={"text": text}) for text in ("small", "x" * 17 * 1024 * 1024, "small")]
    results = await call("create_many", events)
    assert [type(result) for result in results] == [Event, ResourceExhaustedError, Event]


async def test_what_concerns_all_events_ends_the_import(call: Caller, fake: Fake) -> None:
    async def refuse_later(request: Any, context: Any) -> Any:
        if request.requests[0].event.content["n"] >= 2 * MOST_EVENTS:
            raise server_errors.FailedPreconditionError("another model")
        return await store_all(request, context)

    fake.act = refuse_later
    told: list[int] = []
    with pytest.raises(FailedPreconditionError, match="another model"):
        await call("import_events", numbered(1000), on_progress=lambda summary: told.append(summary.stored))
    assert told == [MOST_EVENTS, 2 * MOST_EVENTS]


async def test_an_error_of_the_source_comes_out(call: Caller) -> None:
    def source() -> Iterator[NewEvent]:
        yield from numbered(300)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await call("import_events", source())


async def test_who_stops_reading_results_cancels_what_is_under_way(target: str, fake: Fake) -> None:
    begun, cancelled = threading.Event(), asyncio.Event()

    async def hang_later(request: Any, context: Any) -> Any:
        if request.requests[0].event.content["n"] == 0:
            return await store_all(request, context)
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    def sync_part() -> None:
        with TrimemClient(target) as client, closing(client.create_many(numbered(1000))) as results:
            assert isinstance(next(results), Event)
            assert begun.wait(PATIENCE)

    fake.act = hang_later
    await asyncio.to_thread(sync_part)
    await within_patience(cancelled.wait())

    begun.clear()
    cancelled.clear()
    async with AsyncTrimemClient(target) as client:
        async with aclosing(client.create_many(numbered(1000))) as found:
            assert isinstance(await anext(found), Event)
            assert await asyncio.to_thread(begun.wait, PATIENCE)
        await within_patience(cancelled.wait())


async def test_texts_are_embedded_in_order_and_a_bad_one_fails_alone(call: Caller, fake: Fake) -> None:
    async def embed(request: Any, _context: Any) -> Any:
        answer = embedding_pb2.EmbedStreamResponse(id=request.id)
        if request.input == "5":
            answer.error.code = 3
            answer.error.message = "input: is odd"
        else:
            answer.embedding.text.values.append(float(request.input))
        return answer

    fake.act = embed
    results = await call("embed_many", (str(n) for n in range(200)))
    assert isinstance(results[5], InvalidArgumentError)
    good = [result for result in results if not isinstance(result, TrimemError)]
    assert [embedding.text for embedding in good] == [(float(n),) for n in range(200) if n != 5]
