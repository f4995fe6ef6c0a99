"""How long a gRPC call through the gateway may take, and who ends it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from pydantic import ValidationError

from servicekit.status import reason_of
from tests.fixtures_gateway import (
    METHODS,
    PATIENCE,
    Context,
    Fake,
    begin,
    finish,
    gateway,
    kinds_gateway,
    kinds_handlers,
    settings,
    within_patience,
)
from trimem.store.v1 import event_service_pb2

STREAMS = METHODS[1:]


async def test_the_callers_deadline_goes_along_even_when_it_is_longer_than_the_default() -> None:
    store = Fake()
    async with gateway(store=store, default_deadline_seconds=5) as rig:
        await rig.events.GetEvent(event_service_pb2.GetEventRequest(), timeout=200)

    assert store.time_given is not None
    assert 100 < store.time_given < 250  # it is rounded up on its way


async def test_a_unary_call_without_a_deadline_gets_the_default() -> None:
    store = Fake()
    async with gateway(store=store, default_deadline_seconds=200) as rig:
        await rig.events.GetEvent(event_service_pb2.GetEventRequest())

    assert store.time_given is not None
    assert 100 < store.time_given < 250  # it is rounded up on its way


async def test_a_caller_that_asks_for_more_than_the_longest_deadline_gets_that() -> None:
    store = Fake()
    async with gateway(store=store, default_deadline_seconds=5, max_deadline_seconds=200) as rig:
        await rig.events.GetEvent(event_service_pb2.GetEventRequest(), timeout=10_000)

    assert store.time_given is not None
    assert 100 < store.time_given < 250  # it is rounded up on its way


@pytest.mark.parametrize(("given", "default", "longest"), [(None, 0.1, 100), (1000, 0.1, 0.1)])
async def test_a_backend_that_is_silent_until_the_deadline_is_reported(
    given: float | None, default: float, longest: float
) -> None:
    async def act(_request: Any, _context: Context) -> Any:
        await asyncio.Event().wait()

    async with gateway(store=Fake(act), default_deadline_seconds=default, max_deadline_seconds=longest) as rig:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.events.GetEvent(event_service_pb2.GetEventRequest(), timeout=given)

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert raised.value.details() == "the store did not answer before the deadline"
    assert reason_of(raised.value) == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("method", STREAMS)
@pytest.mark.parametrize("timeout", [None, 10_000])
async def test_a_stream_has_the_deadline_of_its_caller_however_long(method: str, timeout: float | None) -> None:
    given: list[float | None] = []

    async def act(_requests: list[bytes], context: Context) -> list[bytes]:
        given.append(context.time_remaining())
        return [b"done"]

    async with kinds_gateway(kinds_handlers(act)) as rig:
        await within_patience(finish(begin(rig.channel, method, [b"go"], timeout=timeout)))

    assert given == [None] if timeout is None else given[0] and given[0] > 5_000


@pytest.mark.parametrize("method", STREAMS)
async def test_a_stream_on_which_nothing_is_said_ends_at_both_sides(method: str) -> None:
    cancelled = asyncio.Event()

    async def act(_requests: list[bytes], _context: Context) -> list[bytes]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    async with kinds_gateway(kinds_handlers(act), default_deadline_seconds=0.2, max_deadline_seconds=0.2) as rig:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await within_patience(finish(begin(rig.channel, method, [b"go"], timeout=None)))
        await within_patience(cancelled.wait())

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert raised.value.details() == "no message came or went for 0.2 seconds"
    assert reason_of(raised.value) == "DEADLINE_EXCEEDED"


async def test_a_caller_that_does_not_read_its_answers_is_not_waited_for() -> None:
    cancelled = asyncio.Event()

    async def pour(_request: bytes, _context: Context) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1024 * 64)
        finally:
            cancelled.set()

    handler = grpc.method_handlers_generic_handler(
        "test.Kinds", {"UnaryStream": grpc.unary_stream_rpc_method_handler(pour)}
    )
    async with kinds_gateway(handler, default_deadline_seconds=0.5, max_deadline_seconds=0.5) as rig:
        call = begin(rig.channel, "UnaryStream", [b"go"], timeout=None)
        await within_patience(cancelled.wait())
        call.cancel()


async def test_a_stream_outlives_the_longest_silence_while_messages_come_or_go() -> None:
    """Six messages, half a second apart, where two seconds of silence would be the end."""

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(6):
            await asyncio.sleep(0.5)
            yield b"tick"

    async def pour(_request: bytes, _context: Context) -> AsyncIterator[bytes]:
        async for message in slowly():
            yield message

    async def take(requests: AsyncIterator[bytes], _context: Context) -> bytes:
        return b"%d" % len([request async for request in requests])

    handlers: dict[str, Any] = {
        "UnaryStream": grpc.unary_stream_rpc_method_handler(pour),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(take),
    }
    handler = grpc.method_handlers_generic_handler("test.Kinds", handlers)
    async with kinds_gateway(handler, default_deadline_seconds=2, max_deadline_seconds=2) as rig:
        upload, download = await asyncio.gather(
            finish(begin(rig.channel, "StreamUnary", slowly(), timeout=PATIENCE)),
            finish(begin(rig.channel, "UnaryStream", [b"go"], timeout=PATIENCE)),
        )

    assert upload == [b"6"]
    assert download == [b"tick"] * 6


def test_a_default_deadline_longer_than_the_longest_is_refused() -> None:
    with pytest.raises(ValidationError, match="must not be longer than MAX_DEADLINE_SECONDS"):
        settings(default_deadline_seconds=20, max_deadline_seconds=10)
