"""gRPC calls through the gateway: whatever backend and caller say to each other arrives."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from servicekit.errors import InvalidArgumentError
from servicekit.status import DETAILS_KEY, status_of
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
    within_patience,
)
from trimem.store.v1 import event_service_pb2

MANY = [bytes([number]) * number for number in range(50)]


@pytest.mark.parametrize("method", METHODS)
async def test_messages_of_every_kind_of_method_pass_in_order(method: str) -> None:
    async def echo(requests: list[bytes], _context: Context) -> list[bytes]:
        return [*requests, b"last"]

    async with kinds_gateway(kinds_handlers(echo)) as rig:
        answers = await finish(begin(rig.channel, method, MANY))

    sent = MANY if method.startswith("Stream") else MANY[:1]
    assert answers == ([*sent, b"last"] if method.endswith("Stream") else [b"last"])


async def test_a_conversation_goes_back_and_forth_without_waiting_for_its_end() -> None:
    async def answer_each(requests: AsyncIterator[bytes], _context: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield b"re: " + request

    handler = grpc.method_handlers_generic_handler(
        "test.Kinds", {"StreamStream": grpc.stream_stream_rpc_method_handler(answer_each)}
    )
    async with kinds_gateway(handler) as rig:
        call: Any = rig.channel.stream_stream("/test.Kinds/StreamStream")(timeout=PATIENCE)
        for number in range(3):
            await call.write(b"%d" % number)
            assert await call.read() == b"re: %d" % number
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_messages_are_not_decoded_so_fields_of_newer_versions_survive() -> None:
    store = Fake()
    request = event_service_pb2.GetEventRequest(id="an id").SerializeToString() + b"\xf8\x07\x2a"  # field 127 = 42
    async with gateway(store=store) as rig:
        call: Any = rig.channel.unary_unary("/trimem.store.v1.EventService/GetEvent")
        await call(request, timeout=PATIENCE)

    assert store.requests[0].SerializeToString() == request


async def test_the_callers_metadata_arrives_without_what_belongs_to_its_connection() -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        await rig.events.GetEvent(
            event_service_pb2.GetEventRequest(),
            timeout=PATIENCE,
            metadata=(
                ("traceparent", "00-abc"),
                ("blob-bin", b"\x00\xff"),
                ("te", "trailers"),
                ("x-request-id", "mine"),
            ),
        )

    assert store.metadata["traceparent"] == "00-abc"
    assert store.metadata["blob-bin"] == b"\x00\xff"
    assert store.metadata["x-request-id"] == "mine"
    assert "te" not in store.metadata
    assert str(store.metadata["user-agent"]).count("grpc-python-asyncio/") == 1


async def test_a_call_without_a_request_id_gets_one_that_backend_and_caller_both_see_once() -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        call = rig.events.GetEvent(event_service_pb2.GetEventRequest(), timeout=PATIENCE)
        await call
        identities = [value for key, value in await call.trailing_metadata() if key == "x-request-id"]

    assert len(identities) == 1
    assert identities[0]
    assert store.metadata["x-request-id"] == identities[0]


@pytest.mark.parametrize("method", METHODS)
async def test_initial_and_trailing_metadata_of_the_backend_reach_the_caller(method: str) -> None:
    async def act(_requests: list[bytes], context: Context) -> list[bytes]:
        await context.send_initial_metadata((("x-early", "1"), ("early-bin", b"\x00\xfe")))
        context.set_trailing_metadata((("x-late", "2"), ("late-bin", b"\x00\xff")))
        return [b"done"]

    async with kinds_gateway(kinds_handlers(act)) as rig:
        call = begin(rig.channel, method, [b"go"])
        initial = dict(await call.initial_metadata())
        await finish(call)
        trailing = dict(await call.trailing_metadata())

    assert (initial["x-early"], initial["early-bin"]) == ("1", b"\x00\xfe")
    assert (trailing["x-late"], trailing["late-bin"]) == ("2", b"\x00\xff")


@pytest.mark.parametrize("method", METHODS)
async def test_the_failure_of_a_backend_reaches_the_caller_as_it_was(method: str) -> None:
    details = status_pb2.Status(code=9, message="not in this state: ü")
    details.details.add().Pack(error_details_pb2.PreconditionFailure())

    async def act(_requests: list[bytes], context: Context) -> list[bytes]:
        await context.send_initial_metadata((("x-early", "1"),))
        await context.abort(
            grpc.StatusCode.FAILED_PRECONDITION,
            details.message,
            ((DETAILS_KEY, details.SerializeToString()), ("x-late", "2")),
        )
        raise AssertionError

    async with kinds_gateway(kinds_handlers(act)) as rig:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await finish(begin(rig.channel, method, [b"go"]))

    error = raised.value
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, details.message)
    assert status_of(error) == details
    assert ("x-early", "1") in tuple(error.initial_metadata())
    assert [value for key, value in error.trailing_metadata() if key == "x-late"] == ["2"]
    assert len([key for key, _ in error.trailing_metadata() if key == "x-request-id"]) == 1


async def test_answers_before_a_failure_arrive() -> None:
    async def fail_late(_request: bytes, context: Context) -> AsyncIterator[bytes]:
        yield b"first"
        await context.abort(grpc.StatusCode.DATA_LOSS, "the rest is lost", (("x-own", "1"),))

    handler = grpc.method_handlers_generic_handler(
        "test.Kinds", {"UnaryStream": grpc.unary_stream_rpc_method_handler(fail_late)}
    )
    async with kinds_gateway(handler) as rig:
        call = begin(rig.channel, "UnaryStream", [b"go"])
        assert await call.read() == b"first"
        with pytest.raises(grpc.aio.AioRpcError, match="the rest is lost"):
            await call.read()


async def test_an_error_of_our_backend_keeps_its_violations_and_the_request_id() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        raise InvalidArgumentError("page_size", "must not be negative")

    async with gateway(store=Fake(act)) as rig:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.events.ListEvents(
                event_service_pb2.ListEventsRequest(page_size=-1),
                timeout=PATIENCE,
                metadata=(("x-request-id", "req-7"),),
            )

    found = {detail.TypeName(): detail for detail in status_of(raised.value).details}
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_details_pb2.BadRequest.FromString(found["google.rpc.BadRequest"].value).field_violations[0].field == (
        "page_size"
    )
    assert error_details_pb2.RequestInfo.FromString(found["google.rpc.RequestInfo"].value).request_id == "req-7"


@pytest.mark.parametrize("method", METHODS)
async def test_a_caller_that_cancels_cancels_the_backends_work(method: str) -> None:
    working, cancelled = asyncio.Event(), asyncio.Event()

    async def act(_requests: list[bytes], _context: Context) -> list[bytes]:
        working.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    async with kinds_gateway(kinds_handlers(act)) as rig:
        call = begin(rig.channel, method, [b"go"])
        await within_patience(working.wait())
        call.cancel()
        await within_patience(cancelled.wait())


async def test_an_answer_may_be_larger_than_the_largest_request_because_a_batch_comes_back_with_more() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        return event_service_pb2.ListEventsResponse(next_page_token="x" * 100_000)

    async with gateway(store=Fake(act), grpc_max_message_bytes=64 * 1024) as rig:
        answer = await rig.events.ListEvents(event_service_pb2.ListEventsRequest(), timeout=PATIENCE)

    assert len(answer.next_page_token) == 100_000


async def test_an_answer_larger_than_twice_the_limit_is_refused_with_a_reason() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        return event_service_pb2.ListEventsResponse(next_page_token="x" * 200_000)

    async with gateway(store=Fake(act), grpc_max_message_bytes=64 * 1024) as rig:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.events.ListEvents(event_service_pb2.ListEventsRequest(), timeout=PATIENCE)

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.details() == "the answer of the store is larger than the gateway passes on"


async def test_an_import_streams_through_and_is_answered_once() -> None:
    store = Fake()
    message = event_service_pb2.ImportEventsRequest(requests=[event_service_pb2.CreateEventRequest(request_id="r")])
    async with gateway(store=store) as rig:
        answer = await rig.events.ImportEvents(iter([message] * 3), timeout=PATIENCE)

    assert answer.settled_count == 3
    assert store.requests == [[message] * 3]


async def test_calls_are_counted_by_method_and_code() -> None:
    async with gateway(store=Fake()) as rig:
        await rig.events.GetEvent(event_service_pb2.GetEventRequest(), timeout=PATIENCE)
        labels = {"method": "/trimem.store.v1.EventService/GetEvent", "code": "OK", "key": ""}
        async with asyncio.timeout(PATIENCE):  # counted after the caller has the answer
            while rig.registry.get_sample_value("trimem_rpc_seconds_count", labels) != 1:
                await asyncio.sleep(0)
