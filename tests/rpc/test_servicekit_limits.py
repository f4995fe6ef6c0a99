"""What a server refuses before a handler sees it, and what it tells about itself."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit.status import reason_of, status_of
from tests.rpc.servicekit_rig import (
    METHODS,
    PATIENCE,
    SERVICE,
    Answer,
    Context,
    Running,
    ask,
    ask_path,
    finish,
    kinds,
    serve,
)
from trimem.embedding.v1 import embedding_pb2_grpc

LIMIT = 64 * 1024
NOT_UTF8 = b"\x0a\x02\xff\xfe"
TRUNCATED = b"\x0a\x7fabc"


async def fine(_context: Context) -> str:
    return "fine"


async def send_bytes(running: Running, method: str, *raw: bytes) -> Answer:
    """Call a method with bytes that need not be a message."""
    channel = running.channel()
    of_kind: dict[str, Any] = {
        "UnaryUnary": channel.unary_unary,
        "StreamUnary": channel.stream_unary,
        "StreamStream": channel.stream_stream,
    }
    multi = of_kind.get(method, channel.unary_stream)(
        f"/{SERVICE}/{method}", response_deserializer=StringValue.FromString
    )
    return await finish(multi(raw if method.startswith("Stream") else raw[0], timeout=PATIENCE))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("raw", [NOT_UTF8, TRUNCATED])
async def test_bytes_that_are_no_message_are_the_callers_fault(method: str, raw: bytes) -> None:
    async with serve(kinds(fine)) as running:
        answer = await send_bytes(running, method, raw)

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.error is not None
    assert reason_of(answer.error) == "INVALID_ARGUMENT"
    bad_request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad_request) for detail in status_of(answer.error).details)
    assert [violation.field for violation in bad_request.field_violations] == ["request"]
    assert answer.trailing_value("x-request-id")


async def test_a_bad_message_in_the_middle_of_a_stream_ends_it_after_the_good_ones() -> None:
    good = StringValue(value="good").SerializeToString()
    async with serve(kinds(fine)) as running:
        answer = await send_bytes(running, "StreamStream", good, NOT_UTF8, good)

    assert (answer.messages, answer.code) == (["first"], grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize("method", METHODS)
async def test_a_message_over_the_limit_is_refused_and_one_below_it_is_not(method: str) -> None:
    async with serve(kinds(fine), grpc_max_message_bytes=LIMIT) as running:
        channel = running.channel()
        below = await ask(channel, method, StringValue(value="x" * (LIMIT - 16)))
        over = await ask(channel, method, StringValue(value="x" * (LIMIT + 1)))

    assert below.messages[-1] == "fine"
    assert over.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_no_more_calls_of_one_connection_run_at_once_than_the_limit() -> None:
    """The others wait; a client that is quicker than the server counts what has ended is refused, as by any gRPC."""
    running_now, most, go = 0, 0, asyncio.Event()

    async def act(_context: Context) -> str:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await go.wait()
        running_now -= 1
        return "fine"

    async with serve(kinds(act), max_concurrent_streams=3) as running:  # one is that of our channel, for health
        channel = running.channel()
        calls = [asyncio.create_task(ask(channel, "UnaryUnary")) for _ in range(6)]
        async with asyncio.timeout(PATIENCE):
            while running_now < 2:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # the others would be here by now
        go.set()
        answers = await asyncio.gather(*calls)

    assert most == 2
    codes = [answer.code for answer in answers]
    assert codes.count(grpc.StatusCode.OK) >= 2
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


@pytest.mark.parametrize(("size", "code"), [(15_000, "OK"), (17_000, "RESOURCE_EXHAUSTED")])
async def test_metadata_over_the_limit_is_refused_and_below_it_is_not(size: int, code: str) -> None:
    """Always: gRPC would by itself refuse some calls at random between two limits."""
    async with serve(kinds(fine)) as running:
        channel = running.channel()
        codes = {(await ask(channel, "UnaryUnary", metadata=(("x-large", "a" * size),))).code.name for _ in range(5)}

    assert codes == {code}


async def test_an_answer_may_be_larger_than_the_limit_of_requests() -> None:
    async def long(_context: Context) -> str:
        return "x" * (LIMIT * 2)

    async with serve(kinds(long), grpc_max_message_bytes=LIMIT) as running:
        assert len((await ask(running.channel(), "UnaryUnary")).messages[0]) == LIMIT * 2


@pytest.mark.parametrize("path", [f"/{SERVICE}/Nothing", "/no.Such/Method"])
async def test_a_method_that_is_not_there_is_unimplemented(path: str) -> None:
    async with serve(kinds(fine)) as running:
        answer = await ask_path(running.channel(), path)
    assert answer.code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_method_without_an_implementation_is_unimplemented() -> None:
    """Generated base classes answer so: for a method that an older server does not have yet."""
    bare: Any = type("Bare", (embedding_pb2_grpc.EmbeddingServiceServicer,), {})

    def add(server: grpc.aio.Server) -> None:
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(bare(), server)

    async with serve(add=add) as running:
        path = "/trimem.embedding.v1.EmbeddingService/ListModels"
        answer = await ask_path(running.channel(), path)
    assert answer.code is grpc.StatusCode.UNIMPLEMENTED


async def reflect(running: Running, **request: str) -> reflection_pb2.ServerReflectionResponse:
    stub = reflection_pb2_grpc.ServerReflectionStub(running.channel())
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=PATIENCE)
    (response,) = [response async for response in call]
    return response


async def test_reflection_lists_the_services() -> None:
    async with serve(services=["trimem.embedding.v1.EmbeddingService"]) as running:
        response = await reflect(running, list_services="*")
    assert {service.name for service in response.list_services_response.service} == {
        "trimem.embedding.v1.EmbeddingService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_reflection_describes_a_service_of_ours() -> None:
    async with serve(services=["trimem.embedding.v1.EmbeddingService"]) as running:
        response = await reflect(running, file_containing_symbol="trimem.embedding.v1.EmbeddingService")
    (raw, *_) = response.file_descriptor_response.file_descriptor_proto
    described = FileDescriptorProto.FromString(raw)
    assert [service.name for service in described.service] == ["EmbeddingService"]
