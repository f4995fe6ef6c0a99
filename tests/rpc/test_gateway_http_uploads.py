"""Streams over HTTP with one answer: NDJSON in, no faster than the backend takes it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from servicekit.errors import ResourceExhaustedError
from tests.fixtures_gateway import PATIENCE, Context, Fake, Rig, gateway, within_patience
from trimem.store.v1 import event_service_pb2

NDJSON = {"Content-Type": "application/x-ndjson"}


def event_line(number: int, text: str = "tea") -> bytes:
    return json.dumps({"event": {"content": {"text": text}}, "request_id": f"r{number}"}).encode() + b"\n"


async def ask(rig: Rig, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    async with (
        asyncio.timeout(PATIENCE),
        rig.http.post(path, data=body, headers={**NDJSON, **headers}) as response,
    ):
        return response.status, json.loads(await response.read())


def sent(store: Fake) -> list[str]:
    """The request ids that the store was sent, in order."""
    [messages] = store.requests
    return [request.request_id for message in messages for request in message.requests]


async def test_an_import_of_lines_has_one_answer() -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        status, answer = await ask(rig, "/v1/events:import", b"".join(map(event_line, range(1000))))

    assert (status, answer["settled_count"], answer["errors"]) == (200, "1000", [])
    assert sent(store) == [f"r{number}" for number in range(1000)]
    [messages] = store.requests
    assert all(1 <= len(message.requests) <= 1000 for message in messages)
    assert store.time_given is None  # it may take hours


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"", 0),
        (b"\n \r\n\n", 0),
        (event_line(0).strip(), 1),
        (b"\n" + event_line(0).replace(b"\n", b"\r\n") + b"\n\n" + event_line(1).strip(), 2),
    ],
    ids=["nothing", "blank lines", "without an end of line", "blank lines between"],
)
async def test_what_a_line_is(body: bytes, count: int) -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        status, answer = await ask(rig, "/v1/events:import", body)

    assert (status, answer["settled_count"]) == (200, str(count))
    assert sent(store) == [f"r{number}" for number in range(count)]


async def test_lines_that_come_in_pieces_are_put_together() -> None:
    whole = b"".join(event_line(number, "tea with ünï¢ode" * 50) for number in range(30))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 777):
            yield whole[start : start + 777]

    store = Fake()
    async with gateway(store=store) as rig:
        status, _ = await ask(rig, "/v1/events:import", pieces())

    assert status == 200
    assert sent(store) == [f"r{number}" for number in range(30)]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"{", "lines[2]"),
        (b"[]", "lines[2]"),
        (b'{"event": {"content": 5}}', "lines[2].event.content"),
        (b'{"nope": 1}', "lines[2].nope"),
        (b'{"event": {"content": {"a": NaN}}}', "lines[2].event.content.a"),
        (b'{"request_id": "\xff"}', "lines[2]"),
    ],
)
async def test_a_line_that_does_not_fit_ends_the_call_and_is_named_by_its_number(line: bytes, field: str) -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        status, answer = await ask(
            rig, "/v1/events:import", event_line(0) + b"\n" + event_line(1) + line + b"\n" + event_line(3)
        )

    assert (status, answer["code"]) == (400, 3)
    [bad_request] = [detail for detail in answer["details"] if "field_violations" in detail]
    assert [violation["field"] for violation in bad_request["field_violations"]] == [field]
    assert store.requests == []  # the fake reads to the end, and never saw one


async def test_a_line_over_the_limit_is_refused() -> None:
    async with gateway(store=Fake(), http_max_body_bytes=4096) as rig:
        fits = await ask(rig, "/v1/events:import", b"".join(map(event_line, range(200))))
        status, answer = await ask(rig, "/v1/events:import", event_line(0) + event_line(1, "a" * 5000))

    assert fits[0] == 200  # the limit is for a line, not for all of them
    assert (status, answer["message"]) == (413, "body: has a line of more than 4096 bytes")


@pytest.mark.parametrize("content_type", ["application/json", "text/csv"])
async def test_a_body_that_is_declared_to_be_something_else_is_refused(content_type: str) -> None:
    async with gateway(store=Fake()) as rig:
        status, answer = await ask(rig, "/v1/events:import", event_line(0), **{"Content-Type": content_type})

    assert (status, answer["message"]) == (415, f"body: must be application/x-ndjson, not {content_type}")


async def test_a_stream_takes_nothing_from_its_query() -> None:
    async with gateway(store=Fake()) as rig:
        status, answer = await ask(rig, "/v1/events:import?requests={}", event_line(0))

    assert (status, answer["message"]) == (400, "requests: is not a query parameter of this path")


async def raw_import(rig: Rig, *pieces: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The beginning of an import, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.http_port)
    writer.write(b"POST /v1/events:import HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n")
    writer.write(b"Content-Type: application/x-ndjson\r\n\r\n")
    for piece in pieces:
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    await writer.drain()
    return reader, writer


async def test_a_line_that_does_not_come_is_waited_for_no_longer_than_the_settings_say() -> None:
    async with gateway(store=Fake(), http_read_timeout_seconds=0.3) as rig:
        reader, writer = await raw_import(rig, event_line(0), b'{"request_id"')
        head = await within_patience(reader.readuntil(b"\r\n\r\n"))
        assert head.startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("whole_line", [True, False])
async def test_an_import_that_breaks_off_is_cancelled_rather_than_taken_for_complete(whole_line: bool) -> None:
    began, ended = asyncio.Event(), asyncio.Event()
    outcomes = []

    async def act(requests: Any, context: Context) -> Any:  # only with all of them
        outcomes.append("complete")
        return event_service_pb2.ImportEventsResponse()

    store = Fake(act)
    store.on_stream = (began, ended)
    async with gateway(store=store) as rig:
        _, writer = await raw_import(rig, event_line(0) if whole_line else event_line(0) + b'{"request_id"')
        await within_patience(began.wait())
        writer.close()
        await writer.wait_closed()
        await within_patience(ended.wait())

    assert outcomes == []


@pytest.mark.parametrize("abruptly", [True, False])
@pytest.mark.parametrize("whole_line", [True, False])
async def test_an_upload_whose_client_has_gone_is_counted_as_that_and_is_no_fault_of_ours(
    whole_line: bool, abruptly: bool
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()
    store = Fake(on_stream=(began, ended))
    gone = {"method": "POST", "route": "/v1/events:import", "code": "499", "key": ""}
    with capture_logs() as log:
        async with gateway(store=store) as rig:
            _, writer = await raw_import(rig, event_line(0) if whole_line else event_line(0) + b'{"request_id"')
            await within_patience(began.wait())
            if abruptly:
                writer.transport.abort()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            await within_patience(ended.wait())
            async with asyncio.timeout(PATIENCE):
                while rig.registry.get_sample_value("trimem_http_seconds_count", gone) != 1:
                    await asyncio.sleep(0.01)

    assert [line["code"] for line in log if line["event"] == "http"] == [499]
    assert not [line for line in log if line["event"] == "unexpected" or line["log_level"] == "error"]


async def test_a_line_that_comes_byte_by_byte_is_not_waited_for_either() -> None:
    async with gateway(store=Fake(), http_read_timeout_seconds=0.4) as rig:
        reader, writer = await raw_import(rig)
        head = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        async with asyncio.timeout(PATIENCE):
            while not head.done():
                writer.write(b"1\r\n{\r\n")
                await asyncio.sleep(0.05)
        assert head.result().startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()


async def test_a_stream_is_read_no_faster_than_the_backend_takes_it() -> None:
    go_on = asyncio.Event()
    store = Fake()
    store.before_reading = go_on
    written = 0

    async def many() -> AsyncIterator[bytes]:
        nonlocal written
        block = event_line(0, "a" * 10_000) * 100
        while written < 100:
            yield block
            written += 1

    async with gateway(store=store) as rig:
        asking = asyncio.create_task(ask(rig, "/v1/events:import", many()))
        async with asyncio.timeout(PATIENCE):
            before = -1
            while written == 0 or written != before:
                before = written
                await asyncio.sleep(0.3)
        held = written
        go_on.set()
        status, answer = await within_patience(asking)

    assert held < 60  # of 100 megabytes
    assert (status, answer["settled_count"]) == (200, "10000")


async def test_a_backend_that_fails_in_the_middle_ends_an_upload_that_goes_on() -> None:
    async def many() -> AsyncIterator[bytes]:
        for number in range(10**9):
            yield event_line(number)
            await asyncio.sleep(0.01)

    store = Fake()
    store.fail_after = (3, ResourceExhaustedError("enough", retry_after=2))
    async with gateway(store=store) as rig:
        status, answer = await ask(rig, "/v1/events:import", many())

    assert (status, answer["message"]) == (429, "enough")


async def test_a_backend_that_never_answers_an_import_is_not_waited_for_for_ever() -> None:
    async def act(_requests: Any, _context: Context) -> Any:
        await asyncio.Event().wait()

    async with gateway(store=Fake(act), default_deadline_seconds=0.3, max_deadline_seconds=0.3) as rig:
        status, answer = await ask(rig, "/v1/events:import", event_line(0))

    assert (status, answer["message"]) == (504, "no message came or went for 0.3 seconds")


async def test_a_backend_that_is_down_is_named() -> None:
    async with gateway() as rig:
        status, answer = await ask(rig, "/v1/events:import", event_line(0))

    assert (status, answer["message"]) == (503, "the store cannot be reached")
