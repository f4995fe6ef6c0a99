"""Answers to what is no request yet have a request id too, and a line in the log."""

import json
import re

import pytest

from tests.fixtures_gateway import gateway
from tests.rpc.servicekit_rig import logging_configured
from tests.rpc.test_gateway_http_limits import closed, connect

START = b"GET /livez HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (b"hunter2 is no HTTP\r\n\r\n", 400, "NOT_HTTP"),
        (START + b"hunter2\r\n\r\n", 400, "NOT_HTTP"),
        (START + b"X-Open: hunter2" + b"a" * 20_000, 431, "HEADERS_TOO_LARGE"),
        (START + b"X-Large: hunter2" + b"a" * 20_000 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
    ],
)
async def test_what_is_no_request_is_refused_with_an_id_that_is_in_the_log(sent: bytes, code: int, reason: str) -> None:
    with logging_configured() as logged:
        async with gateway(http_max_header_bytes=8192) as rig:
            answer = await closed(await connect(rig, sent))

    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.search(rb"^X-Request-Id: ([0-9a-f]{32})\r?$", head, re.MULTILINE)
    assert found is not None
    identity = found[1].decode()
    assert any(identity in detail.values() for detail in json.loads(body)["details"])
    (line,) = [line for line in logged.lines if line["event"] == "refused"]
    assert (line["request_id"], line["code"], line["reason"]) == (identity, code, reason)
    assert line["peer"] == "127.0.0.1"
    assert "hunter2" not in logged.text
