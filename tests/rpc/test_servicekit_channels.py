"""Channels: retries, balancing and health, against servers of the real protos."""

from collections import Counter
from typing import Any

import grpc
import pytest

from servicekit.channels import open_channel
from servicekit.context import outgoing
from servicekit.errors import ResourceExhaustedError, TrimemError, UnavailableError
from tests.rpc.servicekit_rig import Context, Running, serve
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from trimem.store.v1 import event_service_pb2, event_service_pb2_grpc

EMBEDDING = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]
EVENTS = event_service_pb2.DESCRIPTOR.services_by_name["EventService"]


class Flaky:
    """One read and one write. They fail as often as told, then answer; they count."""

    def __init__(self, error: TrimemError | grpc.StatusCode | None = None, failures: int = 0) -> None:
        self.error = error
        self.failures = failures
        self.calls: Counter[str] = Counter()

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        read: Any = grpc.unary_unary_rpc_method_handler(
            self._list_models,
            request_deserializer=embedding_pb2.ListModelsRequest.FromString,
            response_serializer=embedding_pb2.ListModelsResponse.SerializeToString,
        )
        write: Any = grpc.unary_unary_rpc_method_handler(
            self._create_event,
            request_deserializer=event_service_pb2.CreateEventRequest.FromString,
            response_serializer=event_service_pb2.CreateEventResponse.SerializeToString,
        )
        return [
            grpc.method_handlers_generic_handler(EMBEDDING.full_name, {"ListModels": read}),
            grpc.method_handlers_generic_handler(EVENTS.full_name, {"CreateEvent": write}),
        ]

    async def _list_models(
        self, _request: embedding_pb2.ListModelsRequest, context: Context
    ) -> embedding_pb2.ListModelsResponse:
        await self._attempt("ListModels", context)
        return embedding_pb2.ListModelsResponse(rss_bytes=7)

    async def _create_event(
        self, _request: event_service_pb2.CreateEventRequest, context: Context
    ) -> event_service_pb2.CreateEventResponse:
        await self._attempt("CreateEvent", context)
        return event_service_pb2.CreateEventResponse()

    async def _attempt(self, method: str, context: Context) -> None:
        self.calls[method] += 1
        if self.calls[method] > self.failures:
            return
        if isinstance(self.error, TrimemError):
            raise self.error
        if self.error is not None:
            await context.abort(self.error, "not yet")


async def list_models(channel: grpc.aio.Channel) -> int:
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    response = await stub.ListModels(embedding_pb2.ListModelsRequest(), **outgoing(20))
    return response.rss_bytes


@pytest.mark.parametrize("error", [UnavailableError("loading"), grpc.StatusCode.UNAVAILABLE])
async def test_a_read_is_retried_until_the_server_is_available(error: TrimemError | grpc.StatusCode) -> None:
    flaky = Flaky(error, failures=2)
    async with serve(*flaky.handlers()) as running:
        assert await list_models(running.channel([EMBEDDING, EVENTS])) == 7
    assert flaky.calls == {"ListModels": 3}


async def test_a_read_is_given_up_after_four_attempts() -> None:
    flaky = Flaky(UnavailableError("loading"), failures=100)
    async with serve(*flaky.handlers()) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await list_models(running.channel([EMBEDDING]))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, "loading")
    assert flaky.calls == {"ListModels": 4}


async def test_a_write_is_not_retried() -> None:
    flaky = Flaky(UnavailableError("loading"), failures=1)
    async with serve(*flaky.handlers()) as running:
        stub = event_service_pb2_grpc.EventServiceStub(running.channel([EMBEDDING, EVENTS]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateEvent(event_service_pb2.CreateEventRequest(), **outgoing(20))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert flaky.calls == {"CreateEvent": 1}


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)]
)
async def test_no_other_status_is_retried(code: grpc.StatusCode) -> None:
    flaky = Flaky(code, failures=1)
    async with serve(*flaky.handlers()) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await list_models(running.channel([EMBEDDING]))
    assert caught.value.code() is code
    assert flaky.calls == {"ListModels": 1}


async def test_an_error_with_a_retry_delay_is_the_callers_to_retry() -> None:
    flaky = Flaky(ResourceExhaustedError("the queue is full", retry_after=0.1), failures=1)
    async with serve(*flaky.handlers()) as running:
        with pytest.raises(grpc.aio.AioRpcError):
            await list_models(running.channel([EMBEDDING]))
    assert flaky.calls == {"ListModels": 1}


def both(*running: Running) -> str:
    return "ipv4:" + ",".join(one.target for one in running)


async def test_calls_go_to_all_servers_in_turn() -> None:
    left, right = Flaky(), Flaky()
    async with serve(*left.handlers()) as a, serve(*right.handlers()) as b:
        channel = open_channel(both(a, b), [EMBEDDING], max_message_bytes=1_000_000)
        try:
            await call_until_both_answer(channel, left, right)
            before = (left.calls.total(), right.calls.total())
            for _ in range(20):
                await list_models(channel)
        finally:
            await channel.close()
    assert (left.calls.total() - before[0], right.calls.total() - before[1]) == (10, 10)


async def test_a_server_that_is_not_serving_gets_no_calls_until_it_is() -> None:
    left, right = Flaky(), Flaky()
    async with serve(*left.handlers()) as a, serve(*right.handlers(), ready=False) as b:
        channel = open_channel(both(a, b), [EMBEDDING], max_message_bytes=1_000_000)
        try:
            for _ in range(20):
                await list_models(channel)
            assert (left.calls.total(), right.calls.total()) == (20, 0)
            await b.server.set_ready(True)
            await call_until_both_answer(channel, left, right)
            await a.server.set_ready(False)
            await call_until_only(channel, idle=left)
        finally:
            await channel.close()


async def test_a_server_that_drains_gets_no_more_calls_and_no_call_fails() -> None:
    left, right = Flaky(), Flaky()
    async with serve(*left.handlers(), drain_delay_seconds=0.3) as a, serve(*right.handlers()) as b:
        channel = open_channel(both(a, b), [EMBEDDING], max_message_bytes=1_000_000)
        try:
            await call_until_both_answer(channel, left, right)
            await a.server.drain()
            before = left.calls.total()
            for _ in range(10):
                await list_models(channel)
        finally:
            await channel.close()
    assert left.calls.total() == before


async def test_a_channel_finds_a_server_that_comes_up_later() -> None:
    flaky = Flaky()
    async with serve(*flaky.handlers(), ready=False) as running:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(running.channel([EMBEDDING]))
        waiting = stub.ListModels(embedding_pb2.ListModelsRequest(), wait_for_ready=True, timeout=20)
        await running.server.set_ready(True)
        assert (await waiting).rss_bytes == 7


async def call_until_both_answer(channel: grpc.aio.Channel, left: Flaky, right: Flaky) -> None:
    """Connections come up one after the other."""
    before = (left.calls.total(), right.calls.total())
    while not (left.calls.total() > before[0] and right.calls.total() > before[1]):
        await list_models(channel)


async def call_until_only(channel: grpc.aio.Channel, *, idle: Flaky) -> None:
    """Call until four calls in a row, two rounds of two servers, left one of them out."""
    in_a_row = 0
    while in_a_row < 4:
        before = idle.calls.total()
        await list_models(channel)
        in_a_row = in_a_row + 1 if idle.calls.total() == before else 0
