"""What no client can do to the gateway: be slow for ever, send headers without end, read answers never."""

import asyncio
import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_gateway import PATIENCE, Context, Fake, Rig, gateway, within_patience
from tests.fixtures_tls import Authority
from trimem.store.v1 import event_service_pb2

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(rig: Rig, *pieces: bytes) -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.http_port)
    for piece in pieces:
        writer.write(piece)
    await writer.drain()
    return reader, writer


async def closed(connection: Connection) -> bytes:
    """What still comes until the gateway ends the connection, to which nothing is sent any more."""
    reader, writer = connection
    try:
        rest: bytes = await within_patience(reader.read())
    except ConnectionError:
        rest = b""
    writer.close()
    return rest


async def test_a_connection_on_which_nothing_comes_is_closed() -> None:
    async with gateway(http_keepalive_seconds=0.2) as rig:
        assert await closed(await connect(rig)) == b""


async def test_a_connection_on_which_no_further_request_comes_is_closed() -> None:
    async with gateway(http_keepalive_seconds=0.2) as rig:
        assert (await closed(await connect(rig, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"))).startswith(
            b"HTTP/1.1 200 "
        )


async def test_connections_over_the_limit_are_closed_until_others_have_gone() -> None:
    async with gateway(http_max_connections=2) as rig:
        request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        kept = [await connect(rig, request) for _ in range(2)]
        for reader, _ in kept:
            assert (await within_patience(reader.readline())).startswith(b"HTTP/1.1 200 ")
        assert await closed(await connect(rig)) == b""

        for _, writer in kept:
            writer.close()
        async with asyncio.timeout(PATIENCE):
            while not await _first_line(rig, request):
                await asyncio.sleep(0.01)


async def _first_line(rig: Rig, request: bytes) -> bytes:
    reader, writer = await connect(rig, request)
    try:
        return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("before", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "later"])
async def test_headers_that_do_not_end_are_not_waited_for(before: bytes) -> None:
    async with gateway(http_read_timeout_seconds=0.3) as rig:
        reader, writer = await connect(rig, before)
        if before:
            await within_patience(reader.readuntil(b"}"))
        ending = asyncio.create_task(closed((reader, writer)))
        writer.write(b"GET /livez HTTP/1.1\r\n")
        async with asyncio.timeout(PATIENCE):
            while not ending.done():
                writer.write(b"X")
                await asyncio.sleep(0.02)
        assert ending.result() == b""


async def test_a_body_that_comes_byte_by_byte_is_not_waited_for() -> None:
    async with gateway(store=Fake(), http_read_timeout_seconds=0.3) as rig:
        reader, writer = await connect(rig, b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        head = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        async with asyncio.timeout(PATIENCE):
            while not head.done():
                writer.write(b" ")
                await asyncio.sleep(0.02)
        assert head.result().startswith(b"HTTP/1.1 408 ")
        body = json.loads(await within_patience(reader.readuntil(b"]}")))
        writer.close()
    assert body["message"] == "the body of the request did not arrive in time"
    assert body["details"][0]["reason"] == "SLOW_CLIENT"


async def test_a_client_that_asks_before_it_sends_a_body_is_told_to() -> None:
    head = b"POST /v1/%s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    async with gateway(store=Fake(), http_max_body_bytes=2048) as rig:
        reader, writer = await connect(rig, head % (b"search", 2))
        assert await within_patience(reader.readuntil(b"\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await closed((reader, writer))).startswith(b"HTTP/1.1 200 ")

        # What will be refused anyway need not be sent.
        for path, length, status in ((b"nothing", 2, b"404"), (b"search", 3000, b"413")):
            reader, writer = await connect(rig, head % (path, length))
            assert (await within_patience(reader.readuntil(b"\r\n\r\n"))).startswith(b"HTTP/1.1 %s " % status)
            writer.close()


async def test_a_client_that_does_not_read_its_answer_is_ended() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        event = event_service_pb2.Event(id="a" * 1_000_000)
        return event_service_pb2.ListEventsResponse(events=[event] * 12)

    async with gateway(store=Fake(act), http_read_timeout_seconds=0.5) as rig:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", rig.http_port))
        with sock:
            sock.send(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                # Its answer is cut off, as the connection was: nobody kept it in memory for the client.
                received = 0
                await asyncio.sleep(1.5)
                try:
                    while chunk := await asyncio.get_running_loop().sock_recv(sock, 1 << 20):
                        received += len(chunk)
                except ConnectionError:
                    pass
    assert received < 12_000_000


async def test_over_tls_answers_are_whole_for_those_who_read_and_ended_for_those_who_do_not(tmp_path: Path) -> None:
    async def act(_request: Any, _context: Context) -> Any:
        return event_service_pb2.ListEventsResponse(events=[event_service_pb2.Event(id="a" * 1_000_000)] * 24)

    authority = Authority.make(tmp_path, "ours")
    pair = authority.issue("server")
    client = ssl.create_default_context(cafile=authority.file)
    files: dict[str, Any] = {"tls_cert_file": pair.certificate, "tls_key_file": pair.key}
    async with gateway(store=Fake(act), http_read_timeout_seconds=0.5, **files) as rig:
        for pause, is_whole in ((0.01, True), (2.0, False)):
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.http_port, ssl=client, limit=4096)
            writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await asyncio.sleep(pause)
            received = 0
            try:
                while chunk := await within_patience(reader.read(1 << 20)):
                    received += len(chunk)
            except (ConnectionError, ssl.SSLError):
                pass
            writer.transport.abort()
            assert (received > 24_000_000) == is_whole


async def test_a_client_that_reads_steadily_gets_a_large_answer_whole() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        event = event_service_pb2.Event(id="a" * 1_000_000)
        return event_service_pb2.ListEventsResponse(events=[event] * 12)

    async with gateway(store=Fake(act), http_read_timeout_seconds=0.5) as rig:
        async with rig.http.get("/v1/events") as response:
            received = 0
            while chunk := await response.content.read(500_000):
                received += len(chunk)
                await asyncio.sleep(0.05)
        assert received > 12_000_000


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Large: " + b"a" * 20_000 + b"\r\n",
        b"".join(b"X-Many-%d: %s\r\n" % (number, b"a" * 200) for number in range(60)),
        b"X-Open: " + b"a" * 20_000,
        b"".join(b"X-%d: a\r\n" % number for number in range(500)),
    ],
    ids=["one", "together", "unfinished", "many"],
)
async def test_headers_over_the_limit_are_refused(headers: bytes) -> None:
    async with gateway(http_max_header_bytes=8192) as rig:
        start = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        answer = await closed(await connect(rig, start, headers, b"\r\n\r\n"))

    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] (431|400) ", head)
    assert b"application/json" in head
    assert json.loads(body)["code"] == 3


async def test_headers_up_to_the_limit_are_read() -> None:
    async with (
        gateway(http_max_header_bytes=8192) as rig,
        rig.http.get("/livez", headers={"X": "a" * 7000}) as response,
    ):
        assert response.status == 200


async def test_bytes_that_are_no_http_are_answered_with_a_status() -> None:
    async with gateway() as rig:
        answer = await closed(await connect(rig, b"\x16\x03\x01 secret\r\n\r\n"))

    assert b" 400 " in answer.splitlines()[0]
    assert b"secret" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"] == "request: is not valid HTTP"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("500m", 0.5), ("2S", 2), ("1M", 20), ("99999999H", 20), ("20000000u", 20), ("1n", 0)],
)
async def test_a_request_may_say_how_long_it_is_waited_for(header: str, seconds: float) -> None:
    store = Fake()
    async with gateway(store=store, default_deadline_seconds=10, max_deadline_seconds=20) as rig:
        async with rig.http.get("/v1/events/a", headers={"Grpc-Timeout": header}) as response:
            assert response.status == (200 if seconds else 504)
        if seconds:
            assert store.time_given is not None
            assert seconds - 0.45 < store.time_given <= 1.02 * seconds  # gRPC sends three digits
        async with rig.http.get("/v1/events/a") as response:
            assert response.status == 200
        assert store.time_given is not None
        assert store.time_given <= 1.02 * 10


@pytest.mark.parametrize("header", ["", "5", "5s", "S", "-5S", "1.5S", "123456789S", "\uff15S", "5S 5S"])
async def test_a_timeout_that_is_none_is_a_bad_request(header: str) -> None:
    async with (
        gateway(store=Fake()) as rig,
        rig.http.get("/v1/events/a", headers={"Grpc-Timeout": header}) as response,
    ):
        assert response.status == 400
        assert (await response.json())["message"].startswith("Grpc-Timeout: must be")


@pytest.mark.parametrize("path", ["/v1/events", "/health", "/nothing", "/v1/events?page_size=x", "/metrics"])
async def test_answers_are_neither_kept_nor_interpreted(path: str) -> None:
    async with gateway(store=Fake(), embedder=Fake()) as rig, rig.http.get(path) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert response.headers["Server"] == "trimem"
