"""Streams over HTTP that answer line by line: NDJSON out, no faster than the client reads."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import pytest
from google.rpc import status_pb2

from servicekit.errors import NotFoundError, ResourceExhaustedError
from tests.fixtures_gateway import KINDS, PATIENCE, Context, Fake, Rig, gateway, kinds_gateway, within_patience
from trimem.embedding.v1 import embedding_pb2

NDJSON = {"Content-Type": "application/x-ndjson"}


def input_line(number: int) -> bytes:
    return json.dumps({"id": str(number), "input": "tea"}).encode() + b"\n"


async def ask(rig: Rig, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    async with (
        asyncio.timeout(PATIENCE),
        rig.http.post(path, data=body, headers={**NDJSON, **headers}) as response,
    ):
        return response.status, json.loads(await response.read())


async def lines_of(rig: Rig, path: str, body: Any) -> list[Any]:
    async with asyncio.timeout(PATIENCE), rig.http.post(path, data=body, headers=NDJSON) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        return [json.loads(line) async for line in response.content]


async def test_a_stream_both_ways_answers_line_by_line() -> None:
    async with gateway(embedder=Fake()) as rig:
        answers = await lines_of(rig, "/v1/embed:stream", b"".join(map(input_line, range(100))))

    assert answers == [{"id": str(number), "models": []} for number in range(100)]


async def test_answers_come_while_the_body_is_sent() -> None:
    more: asyncio.Queue[bytes] = asyncio.Queue()

    async def body() -> AsyncIterator[bytes]:
        while line := await more.get():
            yield line

    async with gateway(embedder=Fake()) as rig:
        more.put_nowait(input_line(0))
        async with (
            asyncio.timeout(PATIENCE),
            rig.http.post("/v1/embed:stream", data=body(), headers=NDJSON) as response,
        ):
            assert json.loads(await response.content.readline())["id"] == "0"
            more.put_nowait(input_line(1))
            assert json.loads(await response.content.readline())["id"] == "1"
            more.put_nowait(b"")
            assert await response.content.read() == b""


async def test_a_backend_that_never_answers_a_line_is_not_waited_for_for_ever() -> None:
    async def act(request: Any, _context: Context) -> Any:
        if request.id == "1":
            await asyncio.Event().wait()
        return embedding_pb2.EmbedStreamResponse(id=request.id)

    async with gateway(embedder=Fake(act), default_deadline_seconds=0.3, max_deadline_seconds=0.3) as rig:
        first, last = await lines_of(rig, "/v1/embed:stream", input_line(0) + input_line(1))

    assert first["id"] == "0"
    assert last["code"] == 4


async def test_an_error_before_the_first_answer_is_the_status_of_the_response() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        raise NotFoundError("no such model")

    async with gateway(embedder=Fake(act)) as rig:
        status, answer = await ask(rig, "/v1/embed:stream", input_line(0))

    assert (status, answer["code"], answer["message"]) == (404, 5, "no such model")


async def test_an_error_in_the_middle_is_the_last_line_and_the_code_of_the_log() -> None:
    async def act(request: Any, _context: Context) -> Any:
        if request.id == "2":
            raise ResourceExhaustedError("enough", retry_after=2)
        return embedding_pb2.EmbedStreamResponse(id=request.id, error=status_pb2.Status(code=3))

    async with gateway(embedder=Fake(act)) as rig:
        *answers, last = await lines_of(rig, "/v1/embed:stream", b"".join(map(input_line, range(5))))
        counted = rig.registry.get_sample_value(
            "trimem_http_seconds_count",
            {"method": "POST", "route": "/v1/embed:stream", "code": "429", "key": ""},
        )

    assert [answer["id"] for answer in answers] == ["0", "1"]
    assert (last["code"], last["message"]) == (8, "enough")
    assert {detail["@type"].rpartition(".")[2] for detail in last["details"]} == {
        "ErrorInfo",
        "RetryInfo",
        "RequestInfo",
    }
    assert counted == 1


async def test_a_bad_line_in_the_middle_is_told_after_the_answers_before_it() -> None:
    more: asyncio.Queue[bytes] = asyncio.Queue()

    async def body() -> AsyncIterator[bytes]:
        while line := await more.get():
            yield line

    async with gateway(embedder=Fake()) as rig:
        more.put_nowait(input_line(0))
        async with (
            asyncio.timeout(PATIENCE),
            rig.http.post("/v1/embed:stream", data=body(), headers=NDJSON) as response,
        ):
            assert json.loads(await response.content.readline())["id"] == "0"
            more.put_nowait(b'{"input": 7}\n')
            last = json.loads(await response.content.readline())
            more.put_nowait(b"")

    assert (last["code"], last["message"]) == (3, "lines[1].input: must be a string")


async def test_a_client_that_writes_and_never_reads_is_held_back_and_then_ended() -> None:
    ended = asyncio.Event()

    async def act(request: Any, context: Context) -> Any:
        context.add_done_callback(lambda _: ended.set())
        return embedding_pb2.EmbedStreamResponse(id="a" * 100_000)

    embedder = Fake(act)
    lines = b"".join(map(input_line, range(100)))
    async with gateway(embedder=embedder, http_read_timeout_seconds=0.5) as rig:
        _, writer = await asyncio.open_connection("127.0.0.1", rig.http_port, limit=4096)
        writer.write(b"POST /v1/embed:stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (1000 * len(lines)))
        sending = asyncio.create_task(_send_for_ever(writer, lines))
        await within_patience(ended.wait())
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()

    assert len(embedder.requests) < 1000  # of 100,000


async def _send_for_ever(writer: asyncio.StreamWriter, data: bytes) -> None:
    for _ in range(1000):
        writer.write(data)
        await writer.drain()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_stream_of_answers_to_one_request(method: str) -> None:
    async def answers(_request: bytes, _context: Context) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b""

    async with kinds_gateway(only_download(answers)) as rig, rig.http.request(method, "/v1/kinds:download") as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        assert await response.read() == (b"{}\n{}\n{}\n" if method == "GET" else b"")


@pytest.mark.parametrize("before", [0, 2])
async def test_a_stream_of_answers_that_fails(before: int) -> None:
    async def answers(_request: bytes, _context: Context) -> AsyncIterator[bytes]:
        for _ in range(before):
            yield b""
        raise NotFoundError("gone")

    async with kinds_gateway(only_download(answers)) as rig, rig.http.get("/v1/kinds:download") as response:
        *lines, last = (await response.read()).splitlines()

    assert response.status == (200 if before else 404)
    assert lines == [b"{}"] * before
    assert json.loads(last)["message"] == "gone"


async def test_a_stream_without_answers_is_empty() -> None:
    async def answers(_request: bytes, _context: Context) -> AsyncIterator[bytes]:
        none: list[bytes] = []
        for answer in none:
            yield answer

    async with kinds_gateway(only_download(answers)) as rig, rig.http.get("/v1/kinds:download") as response:
        assert (response.status, await response.read()) == (200, b"")


def only_download(answers: Any) -> grpc.GenericRpcHandler:
    handler: Any = grpc.unary_stream_rpc_method_handler(answers)
    return grpc.method_handlers_generic_handler(KINDS, {"UnaryStream": handler})


async def test_a_client_that_hangs_up_cancels_the_stream() -> None:
    ended = asyncio.Event()

    async def act(request: Any, context: Context) -> Any:
        context.add_done_callback(lambda _: ended.set())
        return embedding_pb2.EmbedStreamResponse(id=request.id)

    forever = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield input_line(0)
        await forever.wait()

    async with gateway(embedder=Fake(act)) as rig:
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"http://127.0.0.1:{rig.http_port}/v1/embed:stream", data=body(), headers=NDJSON) as response,
        ):
            await within_patience(response.content.readline())
        await within_patience(ended.wait())
        forever.set()
