"""The request id and the deadline of a call: taken over, sent back, handed on."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from servicekit import context, errors
from servicekit.status import reason_of
from tests.rpc.servicekit_rig import (
    METHODS,
    SERVICE,
    Context,
    Running,
    ask,
    begin,
    finish,
    kinds,
    logging_configured,
    serve,
    until,
)


async def own_id(_context: Context) -> str:
    return context.request_id.get()


@pytest.mark.parametrize("method", METHODS)
async def test_a_plain_request_id_is_taken_over_and_sent_back(method: str) -> None:
    async with serve(kinds(own_id)) as running:
        answer = await ask(running.channel(), method, metadata=(("x-request-id", "abc-1"),))

    assert answer.messages[-1] == "abc-1"
    assert answer.trailing_value("x-request-id") == "abc-1"


async def test_a_call_without_a_request_id_gets_one() -> None:
    async with serve(kinds(own_id)) as running:
        first, second = [await ask(running.channel(), "UnaryUnary") for _ in range(2)]

    assert first.messages == [first.trailing_value("x-request-id")]
    assert len(first.messages[0]) == 32
    assert first.messages != second.messages


@pytest.mark.parametrize("hostile", ["x" * 10_000, "two words", '{"json"}', "x" * 129])
async def test_a_hostile_request_id_is_replaced(hostile: str) -> None:
    async with serve(kinds(own_id)) as running:
        answer = await ask(running.channel(), "UnaryUnary", metadata=(("x-request-id", hostile),))

    assert answer.code is grpc.StatusCode.OK
    assert answer.messages[0] != hostile
    assert answer.messages[0].isalnum()


@pytest.mark.parametrize("method", METHODS)
async def test_the_request_id_comes_back_with_our_errors_and_with_unexpected_ones(method: str) -> None:
    failures: list[Exception] = [errors.NotFoundError("no such thing"), KeyError("surprise")]

    async def act(_context: Context) -> str:
        raise failures.pop()

    async with serve(kinds(act)) as running:
        channel = running.channel()
        while failures:
            answer = await ask(channel, method, metadata=(("x-request-id", "abc-2"),))
            assert answer.trailing_value("x-request-id") == "abc-2"


@pytest.mark.parametrize("method", METHODS)
async def test_the_request_id_comes_back_when_a_handler_aborts(method: str) -> None:
    async def act(context: Context) -> str:
        await context.abort(grpc.StatusCode.ABORTED, "no")
        return "unreachable"

    async with serve(kinds(act)) as running:
        answer = await ask(running.channel(), method, metadata=(("x-request-id", "abc-3"),))

    assert answer.trailing_value("x-request-id") == "abc-3"


@pytest.mark.parametrize("method", METHODS)
async def test_trailing_metadata_of_a_handler_does_not_push_the_request_id_out(method: str) -> None:
    async def act(context: Context) -> str:
        context.set_trailing_metadata((("x-own", "kept"),))
        return "fine"

    async with serve(kinds(act)) as running:
        answer = await ask(running.channel(), method, metadata=(("x-request-id", "abc-4"),))

    assert sorted(answer.trailing) == [("x-own", "kept"), ("x-request-id", "abc-4")]


async def test_calls_at_the_same_time_keep_their_request_ids_apart() -> None:
    entered = 0
    all_in = asyncio.Event()

    async def act(_context: Context) -> str:
        nonlocal entered
        entered += 1
        if entered == len(METHODS):
            all_in.set()
        await all_in.wait()
        return context.request_id.get()

    with logging_configured() as logged:
        async with serve(kinds(act)) as running:
            channel = running.channel()
            answers = await asyncio.gather(
                *(ask(channel, method, metadata=(("x-request-id", f"id-{method}"),)) for method in METHODS)
            )

    assert [answer.messages[-1] for answer in answers] == [f"id-{method}" for method in METHODS]
    assert {line["request_id"] for method in METHODS for line in logged.access(method)} == {
        f"id-{method}" for method in METHODS
    }


def asks(running: Running, seen: dict[str, Any]) -> Any:
    """An `act` that asks the other server on behalf of its own call."""
    channel = running.channel()

    async def act(_context: Context) -> str:
        answer = await ask(channel, "UnaryUnary", **context.outgoing(60))
        assert answer.error is None
        return answer.messages[0]

    return act


async def test_a_call_made_for_a_call_carries_its_request_id_and_less_than_its_time() -> None:
    seen: dict[str, Any] = {}

    async def inner(call: Context) -> str:
        seen["left"] = call.time_remaining()
        return context.request_id.get()

    async with serve(kinds(inner)) as backend, serve(kinds(asks(backend, seen))) as front:
        answer = await ask(front.channel(), "UnaryUnary", timeout=5, metadata=(("x-request-id", "abc-5"),))

    assert answer.messages == ["abc-5"]
    assert 0 < seen["left"] < 5


async def test_a_call_without_a_deadline_causes_calls_with_the_default_one() -> None:
    seen: dict[str, Any] = {}

    async def inner(call: Context) -> str:
        seen["left"] = call.time_remaining()
        return "fine"

    async with serve(kinds(inner)) as backend, serve(kinds(asks(backend, seen))) as front:
        assert (await ask(front.channel(), "UnaryUnary")).messages == ["fine"]

    assert 5 < seen["left"] < 61


async def test_no_call_is_made_once_the_time_is_up() -> None:
    """The server's handler outlives its caller here: it must not go on to spend a backend's time."""
    outcome: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def act(call: Context) -> str:
        context.deadline.set(0.0)  # `time.monotonic()` of long ago
        try:
            context.outgoing(10)
        except errors.DeadlineExceededError as error:
            outcome.set_result(error)
            raise
        return "unreachable"

    async with serve(kinds(act)) as running:
        answer = await ask(running.channel(), "UnaryUnary")

    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert outcome.done()


@pytest.mark.parametrize("method", METHODS)
async def test_a_handler_is_cancelled_in_its_own_context_when_its_caller_goes(method: str) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()
    seen: list[str] = []

    async def act(_context: Context) -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(context.request_id.get())
            ended.set()
        return "unreachable"

    async with serve(kinds(act)) as running, asyncio.timeout(30):
        call = begin(running.channel(), method, metadata=(("x-request-id", "abc-6"),))
        reading = asyncio.ensure_future(finish(call))
        await entered.wait()
        call.cancel()
        await ended.wait()
        await asyncio.gather(reading, return_exceptions=True)

    assert seen == ["abc-6"]


@pytest.mark.parametrize("way", ["yield", "write"])
async def test_a_stream_that_is_blocked_in_sending_ends_in_its_own_context_when_its_caller_goes(way: str) -> None:
    """gRPC drops a generator there, and ends it later: what runs around it once crashed the process."""
    sending = asyncio.Event()
    seen: list[str] = []
    never_fits = StringValue(value="x" * 32 * 1024 * 1024)  # larger than what flow control lets go unread

    async def yielding(_request: bytes, _context: Context) -> Any:
        try:
            yield StringValue(value="first")
            sending.set()
            yield never_fits
        finally:
            seen.append(context.request_id.get())

    async def writing(_request: bytes, call: Context) -> None:
        try:
            await call.write(StringValue(value="first"))
            sending.set()
            await call.write(never_fits)
        finally:
            seen.append(context.request_id.get())

    handler: Any = grpc.unary_stream_rpc_method_handler(
        yielding if way == "yield" else writing, response_serializer=StringValue.SerializeToString
    )
    flood = grpc.method_handlers_generic_handler("test.Kinds", {"UnaryStream": handler})
    with logging_configured() as logged:
        async with serve(flood) as running, asyncio.timeout(30):
            call = begin(running.channel(), "UnaryStream", metadata=(("x-request-id", "abc-7"),))
            await call.read()
            await sending.wait()
            call.cancel()
            await until(lambda: bool(logged.access("UnaryStream")))
            assert seen == ["abc-7"]

    (line,) = logged.access("UnaryStream")
    assert (line["code"], line["request_id"]) == ("CANCELLED", "abc-7")
    assert "unexpected" not in logged.text


@pytest.mark.parametrize("path", [f"/{SERVICE}/Invented", "/invented.Service/UnaryUnary", "/x", "/" + "y" * 4000])
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_a_method_that_is_not_there_is_refused_with_a_request_id_and_a_line_without_its_name(
    kind: str, path: str
) -> None:
    with logging_configured() as logged:
        async with serve(kinds(own_id)) as running:
            callable_of_kind: Any = getattr(running.channel(), kind)(path)
            request = [] if kind.startswith("stream") else b""
            answer = await finish(callable_of_kind(request, metadata=(("x-request-id", "abc-9"),), timeout=30))

    assert (answer.code, answer.details) == (grpc.StatusCode.UNIMPLEMENTED, "this server has no such method")
    assert answer.trailing_value("x-request-id") == "abc-9"
    assert answer.error is not None
    assert reason_of(answer.error) == "UNIMPLEMENTED"
    (line,) = [line for line in logged.lines if line["event"] == "no such method"]
    assert (line["request_id"], line["code"]) == ("abc-9", "UNIMPLEMENTED")
    assert path not in logged.text


async def test_a_stream_to_a_method_that_is_not_there_is_refused_before_it_says_anything() -> None:
    async with serve(kinds(own_id)) as running:
        call: Any = running.channel().stream_stream(f"/{SERVICE}/Invented")(timeout=30)
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
