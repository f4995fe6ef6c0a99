"""Bad HTTP requests: the right status, a google.rpc.Status as the body, the field named, and never a 500."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from tests.fixtures_gateway import PATIENCE, Fake, Rig, gateway

LIMIT = 64 * 1024


@pytest_asyncio.fixture(scope="session")
async def rig() -> Any:
    async with gateway(store=Fake(), embedder=Fake(), http_max_body_bytes=LIMIT) as running:
        yield running


async def refused(rig: Rig, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """Status and body of a refused request, in its one shape."""
    if body:
        headers.setdefault("Content-Type", "application/json")
    url = URL(f"http://127.0.0.1:{rig.http_port}{path}", encoded=True)
    async with asyncio.timeout(PATIENCE), rig.http.request(method, url, data=body or None, headers=headers) as response:
        answer = await response.json()
        assert set(answer) == {"code", "message", "details"}
        assert answer["message"]
        assert response.headers["X-Request-Id"]
        return response.status, answer


def fields(answer: Any) -> list[str]:
    return [
        violation["field"]
        for detail in answer["details"]
        if detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
        for violation in detail["field_violations"]
    ]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/search", b"{", "body"),
        ("/v1/search", b"[]", "body"),
        ("/v1/search", b"null", "body"),
        ("/v1/search", b'"text"', "body"),
        ("/v1/search", b"{} trailing", "body"),
        ("/v1/search", b'{"query": "\xff"}', "body"),
        ("/v1/search", b'\xef\xbb\xbf{"query": "a"}', "body"),
        ("/v1/search", b'{"query": "a", "query": "b"}', "body"),
        ("/v1/search", b'{"query": 5}', "query"),
        ("/v1/search", b'{"query": "\\ud800"}', "query"),
        ("/v1/search", b'{"page_size": "many"}', "page_size"),
        ("/v1/search", b'{"pageSize": 1.5}', "page_size"),
        ("/v1/search", b'{"pageSize": 3000000000}', "page_size"),
        ("/v1/search", b'{"pageSize": 1, "page_size": 1}', "page_size"),
        ("/v1/search", b'{"nope": 1}', "nope"),
        ("/v1/search", b'{"mode": "BEST"}', "mode"),
        ("/v1/search", b'{"mode": true}', "mode"),
        ("/v1/search", b'{"min_similarity": NaN}', "min_similarity"),
        ("/v1/search", b'{"min_similarity": Infinity}', "min_similarity"),
        ("/v1/search", b'{"start_time": 5}', "start_time"),
        ("/v1/search", b'{"start_time": "yesterday"}', "start_time"),
        ("/v1/search", b'{"metadata_filter": []}', "metadata_filter"),
        ("/v1/search", b'{"vector": [1, 2]}', "vector"),
        ("/v1/search", b'{"vector": {"values": [1, "x"]}}', "vector.values[1]"),
        ("/v1/search", b'{"vector": {"values": [1, null]}}', "vector.values[1]"),
        ("/v1/search", b'{"vector": {"values": [1e39]}}', "vector.values[0]"),
        ("/v1/search?query=a", b"{}", "query"),
        ("/v1/events", b"5", "event"),
        ("/v1/events", b"[]", "event"),
        ("/v1/events", b'{"event": {"content": {}}}', "event.event"),
        ("/v1/events", b'{"content": "text"}', "event.content"),
        ("/v1/events", b'{"content": {"a": [NaN]}}', "event.content.a[0]"),
        ("/v1/events", b'{"content": {"a": 1e999}}', "event.content.a"),
        ("/v1/events", b'{"content": {"a": "\\ud800"}}', "event.content.a"),
        ("/v1/events", b'{"\\ud800": 1}', "event.?"),
        ("/v1/events", b"[" * 10_000 + b"]" * 10_000, "body"),
        ("/v1/events", b'{"content": {"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}", "body"),
        ("/v1/events", b'{"content": {"a": ' + b"[" * 100 + b"]" * 100 + b"}}", "event.content"),
        ("/v1/events?event.id=7", b'{"content": {}}', "event.id"),
        ("/v1/events:batchCreate", b'{"requests": {}}', "requests"),
        ("/v1/events:batchCreate", b'{"requests": [{"event": {}}, {"event": {"id": 5}}]}', "requests[1].event.id"),
        ("/v1/embed", b'{"inputs": "text"}', "inputs"),
        ("/v1/embed", b'{"inputs": ["a", 5]}', "inputs[1]"),
        ("/v1/embed", b'{"inputs": ["a"], "dimensions": -1}', "dimensions"),
        ("/v1/similarity", b'{"first": {"text": "a", "vector": {}}}', "first.vector"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_bad_body_is_a_bad_request_that_names_the_field(rig: Rig, path: str, body: bytes, field: str) -> None:
    status, answer = await refused(rig, "POST", path, body)

    assert (status, answer["code"], fields(answer)) == (400, 3, [field])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/events?page_size=ten", "page_size"),
        ("/v1/events?page_size=1&page_size=2", "page_size"),
        ("/v1/events?page_size=1&pageSize=2", "page_size"),
        ("/v1/events?colour=red", "colour"),
        ("/v1/events?page_token=%ff", "page_token"),
        ("/v1/events?%ff=1", "query"),
        ("/v1/events?metadata_filter=tea", "metadata_filter"),
        ("/v1/events?metadata_filter=[1]", "metadata_filter"),
        ("/v1/events?metadata_filter=" + "[" * 3_000, "metadata_filter"),
        ("/v1/events?start_time=yesterday", "start_time"),
        ("/v1/search?mode=BEST", "mode"),
        ("/v1/search?min_similarity=x", "min_similarity"),
        ("/v1/search?vector.values=x", "vector.values[0]"),
        ("/v1/events/%ff", "id"),
        ("/v1/events/abc?id=def", "id"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_bad_path_or_query_is_a_bad_request_that_names_the_field(rig: Rig, path: str, field: str) -> None:
    status, answer = await refused(rig, "GET", path)

    assert (status, answer["code"], fields(answer)) == (400, 3, [field])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/events/abc?update_mask=a_b", b"{}", "update_mask"),
        ("/v1/events/abc?updateMask=content&updateMask=metadata", b"{}", "update_mask"),
        ("/v1/events/abc?event.metadata={}", b"{}", "event.metadata"),
        ("/v1/events/%ff", b"{}", "event.id"),
        ("/v1/events/abc", b"[]", "event"),
        ("/v1/events/abc", b'{"metadata": 1}', "event.metadata"),
    ],
)
async def test_a_bad_patch_is_a_bad_request_that_names_the_field(rig: Rig, path: str, body: bytes, field: str) -> None:
    status, answer = await refused(rig, "PATCH", path, body)

    assert (status, answer["code"], fields(answer)) == (400, 3, [field])


async def test_all_faults_of_a_request_are_named_at_once(rig: Rig) -> None:
    _, answer = await refused(rig, "POST", "/v1/search", b'{"query": 1, "page_size": "x", "nope": 2}')

    assert fields(answer) == ["query", "page_size", "nope"]


async def test_a_body_where_none_is_read_is_refused_rather_than_ignored(rig: Rig) -> None:
    status, answer = await refused(rig, "GET", "/v1/search", b'{"query": "a"}')

    assert (status, fields(answer), answer["message"]) == (400, ["body"], "body: is not read by GET /v1/search")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(rig: Rig, chunked: bool) -> None:
    async def chunks() -> Any:
        for _ in range(LIMIT // 1024 + 1):
            yield b" " * 1024

    data = chunks() if chunked else b" " * (LIMIT + 1)
    async with rig.http.post("/v1/search", data=data, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 413
        answer = await response.json()

    assert (answer["code"], fields(answer)) == (3, ["body"])
    assert answer["message"] == f"body: is larger than {LIMIT} bytes"


async def test_a_body_of_exactly_the_limit_is_read(rig: Rig) -> None:
    body = b'{"query": "' + b"a" * (LIMIT - 13) + b'"}'
    assert len(body) == LIMIT
    async with rig.http.post("/v1/search", data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=latin-1", "nonsense"]
)
async def test_a_body_of_another_type_is_refused(rig: Rig, content_type: str) -> None:
    status, answer = await refused(rig, "POST", "/v1/search", b"{}", **{"Content-Type": content_type})

    assert (status, answer["code"], fields(answer)) == (415, 3, ["body"])


async def test_a_body_that_is_not_in_its_declared_encoding_is_refused_and_not_logged_as_a_fault(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    status, answer = await refused(rig, "POST", "/v1/search", b"{}", **{"Content-Encoding": "gzip"})

    assert (status, fields(answer)) == (400, ["body"])
    assert [record for record in caplog.records if record.name == "aiohttp.server"] == []


async def test_a_body_that_does_not_come_is_waited_for_until_the_deadline_and_no_longer() -> None:
    async with gateway(store=Fake(), embedder=Fake(), default_deadline_seconds=0.2) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.http_port)
        writer.write(b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        async with asyncio.timeout(PATIENCE):
            assert b" 504 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/search", "GET, POST"),
        ("PUT", "/v1/events/abc", "DELETE, GET, PATCH"),
        ("GET", "/v1/events:batchCreate", "POST"),
        ("POST", "/health", "GET"),
        ("GET", "/v1/embed", "POST"),
        ("PROPFIND", "/v1/search", "GET, POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(rig: Rig, method: str, path: str, allowed: str) -> None:
    async with rig.http.request(method, path) as response:
        assert response.status == 405
        assert response.headers["Allow"] == allowed
        assert (await response.json())["code"] == 12


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nothing", "/v1/events/", "/v1/events/a/b", "//v1/events", "/v1/events:nothing", "/%ff"]
)
async def test_an_unknown_path_is_not_found(rig: Rig, path: str) -> None:
    status, answer = await refused(rig, "GET", path)

    assert (status, answer["code"]) == (404, 5)


async def test_bytes_that_are_no_http_are_neither_logged_nor_disturb_the_next_request(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.http_port)
    writer.write(b"\x00\xff not http\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
    writer.close()
    await writer.wait_closed()
    assert "not http" not in caplog.text
    async with rig.http.get("/v1/events") as response:
        assert response.status == 200


shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["event", "content", "metadata", "id", "timestamp", "query", "vector", "values", "requests"]
            )
            | st.sampled_from(
                ["metadata_filter", "pageSize", "mode", "inputs", "domain", "first", "text", "minSimilarity"]
            )
            | st.text(st.characters(exclude_categories=()), max_size=4),
            inner,
            max_size=5,
        )
    ),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    path=st.sampled_from(["/v1/events", "/v1/search", "/v1/events:batchCreate", "/v1/embed", "/v1/similarity"]),
    body=shapes.map(lambda shape: json.dumps(shape).encode()) | st.binary(max_size=20),
)
async def test_no_body_is_ever_an_internal_error(rig: Rig, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with rig.http.post(path, data=body, headers=headers) as response:
        answer = await response.json()
    assert response.status == 200 or (response.status == 400 and fields(answer)), answer


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(target=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
async def test_no_target_is_ever_an_internal_error(rig: Rig, target: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.http_port)
    writer.write(f"GET /v1/{target} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    status = int((await reader.read()).split(b" ", 2)[1])
    writer.close()
    await writer.wait_closed()
    assert status in {200, 400, 404, 405}


async def test_a_request_that_ends_early_leaves_the_gateway_well(rig: Rig) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", rig.http_port)
    writer.write(b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    writer.close()
    await writer.wait_closed()
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{rig.http_port}/health") as response:
        assert response.status == 200
