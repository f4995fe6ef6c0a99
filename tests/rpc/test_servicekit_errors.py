"""What callers see of exceptions, for handlers of every kind."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from servicekit import errors
from servicekit.status import DETAILS_KEY, reason_of, status_of
from tests.rpc.servicekit_rig import (
    METHODS,
    STREAMED_ANSWERS,
    Context,
    ask,
    begin,
    finish,
    kinds,
    logging_configured,
    serve,
)

SECRET = "postgresql://trimem:hunter2@db/trimem"


@pytest.mark.parametrize("method", METHODS)
async def test_our_errors_reach_the_caller_with_code_message_and_details(method: str) -> None:
    async def act(_context: Context) -> str:
        raise errors.InvalidArgumentError("inputs[3]", "must not be blank")

    async with serve(kinds(act)) as running:
        answer = await ask(running.channel(), method)

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.details == "inputs[3]: must not be blank"
    assert answer.error is not None
    status = status_of(answer.error)
    assert (status.code, status.message) == (3, answer.details)
    assert reason_of(answer.error) == "INVALID_ARGUMENT"
    bad_request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad_request) for detail in status.details)
    assert [(v.field, v.description) for v in bad_request.field_violations] == [("inputs[3]", "must not be blank")]


@pytest.mark.parametrize("method", METHODS)
async def test_an_unknown_exception_is_internal_and_leaks_nothing(method: str) -> None:
    async def act(_context: Context) -> str:
        raise ValueError(SECRET)

    async with serve(kinds(act)) as running:
        answer = await ask(running.channel(), method)

    assert answer.code is grpc.StatusCode.INTERNAL
    assert answer.details == "internal error"
    assert "hunter2" not in repr(answer)
    assert "ValueError" not in repr(answer)
    status = status_pb2.Status.FromString(bytes(answer.trailing_value(DETAILS_KEY)))  # type: ignore[arg-type]
    assert "hunter2" not in str(status)


@pytest.mark.parametrize("method", METHODS)
async def test_a_handler_that_aborts_by_itself_is_left_alone(method: str) -> None:
    async def act(context: Context) -> str:
        await context.abort(grpc.StatusCode.DATA_LOSS, "as the handler says", (("x-own", "kept"),))
        return "unreachable"

    with logging_configured() as logged:
        async with serve(kinds(act)) as running:
            answer = await ask(running.channel(), method)

    assert "unexpected" not in logged.text
    assert (answer.code, answer.details) == (grpc.StatusCode.DATA_LOSS, "as the handler says")
    assert answer.trailing == [("x-own", "kept")]


@pytest.mark.parametrize("method", STREAMED_ANSWERS)
async def test_an_error_after_the_first_message_of_a_stream_still_has_its_code(method: str) -> None:
    async def act(_context: Context) -> str:
        raise errors.ResourceExhaustedError("the queue is full", retry_after=2)

    async with serve(kinds(act)) as running:
        answer = await ask(running.channel(), method)

    assert answer.messages == ["first"]
    assert (answer.code, answer.details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")


@pytest.mark.parametrize("method", METHODS)
async def test_trailing_metadata_of_a_handler_survives_its_error(method: str) -> None:
    async def act(context: Context) -> str:
        context.set_trailing_metadata((("x-own", "kept"),))
        raise errors.NotFoundError("no such thing")

    async with serve(kinds(act)) as running:
        answer = await ask(running.channel(), method)

    assert answer.code is grpc.StatusCode.NOT_FOUND
    assert answer.trailing_value("x-own") == "kept"


@pytest.mark.parametrize("letter", ["x", "é", "漢", "%"])
async def test_an_error_that_quotes_megabytes_arrives_whole_enough_to_read(letter: str) -> None:
    """Clients take 8 KiB of headers: an error that does not fit would arrive as RESOURCE_EXHAUSTED."""

    async def act(_context: Context) -> str:
        raise errors.InvalidArgumentError(letter * 1_000_000, letter * 1_000_000)

    async with serve(kinds(act)) as running:
        answer = await ask(running.channel(), "UnaryUnary")

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.details.startswith(letter * 100)


async def test_an_error_that_quotes_half_a_surrogate_pair_arrives() -> None:
    async def act(_context: Context) -> str:
        raise errors.InvalidArgumentError("metadata.\ud83d", "is not a key")

    async with serve(kinds(act)) as running:
        answer = await ask(running.channel(), "UnaryUnary")

    assert (answer.code, answer.details) == (grpc.StatusCode.INVALID_ARGUMENT, "metadata.?: is not a key")


async def test_a_call_after_an_error_is_served_on_the_same_channel() -> None:
    failures = iter([ValueError("once")])

    async def act(_context: Context) -> str:
        for error in failures:
            raise error
        return "fine"

    async with serve(kinds(act)) as running:
        channel = running.channel()
        assert (await ask(channel, "UnaryUnary")).code is grpc.StatusCode.INTERNAL
        assert (await finish(begin(channel, "UnaryUnary"))).messages == ["fine"]
