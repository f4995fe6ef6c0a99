"""gRPC calls through the gateway: whatever backend and caller say to each other arrives."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit.errors import InvalidArgumentError
from servicekit.status import DETAILS_KEY, reason_of, status_of
from tests.fixtures_gateway import (
    METHODS,
    NOWHERE,
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
from trimem.embedding.v1 import model_admin_pb2
from trimem.store.v1 import event_service_pb2, store_admin_pb2

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


async def test_the_callers_deadline_goes_along_even_when_it_is_longer_than_the_default() -> None:
    store = Fake()
    async with gateway(store=store, default_deadline_seconds=5) as rig:
        await rig.events.GetEvent(event_service_pb2.GetEventRequest(), timeout=1000)

    assert store.time_given is not None
    assert 500 < store.time_given <= 1000


async def test_a_unary_call_without_a_deadline_gets_the_default() -> None:
    store = Fake()
    async with gateway(store=store, default_deadline_seconds=500) as rig:
        await rig.events.GetEvent(event_service_pb2.GetEventRequest())

    assert store.time_given is not None
    assert 400 < store.time_given <= 500


@pytest.mark.parametrize("method", METHODS[1:])
async def test_a_stream_without_a_deadline_may_run_for_as_long_as_it_likes(method: str) -> None:
    given: list[float | None] = []

    async def act(_requests: list[bytes], context: Context) -> list[bytes]:
        given.append(context.time_remaining())
        return [b"done"]

    async with kinds_gateway(kinds_handlers(act)) as rig:
        await within_patience(finish(begin(rig.channel, method, [b"go"], timeout=None)))

    assert given == [None]


async def test_a_backend_that_is_silent_until_the_default_deadline_is_reported() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        await asyncio.Event().wait()

    async with gateway(store=Fake(act), default_deadline_seconds=0.1) as rig:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.events.GetEvent(event_service_pb2.GetEventRequest())

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert raised.value.details() == "the store did not answer before the deadline"
    assert reason_of(raised.value) == "DEADLINE_EXCEEDED"


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


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/trimem.store.v1.EventService/SearchEvents", "store"),
        ("/trimem.embedding.v1.EmbeddingService/Embed", "embedder"),
    ],
)
async def test_a_backend_that_is_down_is_named_and_nothing_else_is_said(path: str, name: str) -> None:
    up: dict[str, Any] = {"store": Fake(), "embedder": Fake()}
    del up[name]
    async with gateway(**up) as rig:
        call: Any = rig.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"", timeout=PATIENCE)

    error = raised.value
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, f"the {name} cannot be reached")
    status = status_of(error)
    types = {detail.TypeName() for detail in status.details}
    assert types == {"google.rpc.ErrorInfo", "google.rpc.RetryInfo", "google.rpc.RequestInfo"}
    assert reason_of(error) == "BACKEND_UNREACHABLE"
    assert NOWHERE not in str(status)


@pytest.mark.parametrize("method", METHODS)
async def test_a_backend_that_stops_during_a_call_is_unavailable(method: str) -> None:
    working = asyncio.Event()

    async def act(_requests: list[bytes], _context: Context) -> list[bytes]:
        working.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with kinds_gateway(kinds_handlers(act)) as rig:
        call = begin(rig.channel, method, [b"go"])
        await within_patience(working.wait())
        await rig.servers["kinds"].grpc.stop(0)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await finish(call)

    assert (raised.value.code(), raised.value.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "the kinds cannot be reached",
    )


async def test_a_backend_that_says_not_serving_is_as_good_as_down() -> None:
    async with gateway(store=Fake()) as rig:
        await rig.servers["store"].set_ready(False)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.events.GetEvent(event_service_pb2.GetEventRequest(), timeout=PATIENCE)

    assert raised.value.details() == "the store cannot be reached"


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


@pytest.mark.parametrize(
    "path",
    [
        "/trimem.store.v1.EventService/Nothing",
        "/nonsense",
        *(
            f"/{service.full_name}/{method.name}"
            for file, name in (
                (store_admin_pb2, "StoreAdminService"),
                (model_admin_pb2, "ModelAdminService"),
            )
            for service in [file.DESCRIPTOR.services_by_name[name]]
            for method in service.methods
        ),
    ],
)
async def test_only_methods_of_public_services_are_passed_on(path: str) -> None:
    async with gateway(store=Fake(), embedder=Fake()) as rig:
        call: Any = rig.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"", timeout=PATIENCE)

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_import_streams_through_and_is_answered_once() -> None:
    store = Fake()
    message = event_service_pb2.ImportEventsRequest(requests=[event_service_pb2.CreateEventRequest(request_id="r")])
    async with gateway(store=store) as rig:
        answer = await rig.events.ImportEvents(iter([message] * 3), timeout=PATIENCE)

    assert answer.settled_count == 3
    assert store.requests == [[message] * 3]


async def test_the_gateway_serves_while_its_backends_are_down() -> None:
    async with gateway() as rig:
        health: Any = health_pb2_grpc.HealthStub(rig.channel)
        for service in ("", "trimem.store.v1.EventService", "trimem.embedding.v1.EmbeddingService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_describes_the_public_services() -> None:
    async with gateway() as rig:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(rig.channel)
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="trimem.store.v1.EventService")
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        described, listed = [each async for each in stub.ServerReflectionInfo([request, listing], timeout=PATIENCE)]

    assert described.file_descriptor_response.file_descriptor_proto
    names = {service.name for service in listed.list_services_response.service}
    assert {"trimem.store.v1.EventService", "trimem.embedding.v1.EmbeddingService"} <= names


async def test_calls_are_counted_by_method_and_code() -> None:
    async with gateway(store=Fake()) as rig:
        await rig.events.GetEvent(event_service_pb2.GetEventRequest(), timeout=PATIENCE)
        labels = {"method": "/trimem.store.v1.EventService/GetEvent", "code": "OK", "key": ""}
        async with asyncio.timeout(PATIENCE):  # counted after the caller has the answer
            while rig.registry.get_sample_value("trimem_rpc_seconds_count", labels) != 1:
                await asyncio.sleep(0)
