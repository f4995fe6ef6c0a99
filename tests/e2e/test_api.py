"""The whole path, as clients see it: gateway, store, embedder, PostgreSQL and a real model."""

import asyncio
import io
import json
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2
from yarl import URL

from deploy.local.stack import Stack
from servicekit.status import status_of
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from trimem.store.v1 import event_service_pb2, event_service_pb2_grpc

EMBEDDING = "trimem.embedding.v1.EmbeddingService"
EVENTS = "trimem.store.v1.EventService"


@pytest_asyncio.fixture(scope="session")
async def channel(stack: Stack) -> AsyncIterator[grpc.aio.Channel]:
    # Clients may send messages over the default 4 MB; the server has the say.
    async with grpc.aio.insecure_channel(
        stack.address("GATEWAY_PORT"), options=[("grpc.max_send_message_length", -1)]
    ) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session")
async def http(stack: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{stack.address('GATEWAY_HTTP_PORT')}") as session:
        yield session


async def buf_curl(stack: Stack, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """Call with `buf curl`, which knows of the API what reflection tells it."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "buf"),
        "curl",
        "--http2-prior-knowledge",
        "--protocol",
        "grpc",
        "-d",
        json.dumps(request),
        f"http://{stack.address('GATEWAY_PORT')}/{method}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    answer: dict[str, Any] = json.loads(output)
    return answer


async def test_buf_curl_embeds_and_searches_through_the_gateway_with_reflection_alone(stack: Stack) -> None:
    embedded = await buf_curl(stack, f"{EMBEDDING}/Embed", {"inputs": ["a cup of tea"], "domain": "DOMAIN_HYBRID"})
    assert len(embedded["embeddings"][0]["text"]["values"]) == 384
    assert len(embedded["embeddings"][0]["code"]["values"]) == 384

    topic = uuid.uuid4().hex
    created = await buf_curl(
        stack,
        f"{EVENTS}/CreateEvent",
        {"event": {"content": {"text": "The cat sleeps in the sun."}, "metadata": {"topic": topic}}},
    )
    assert created["event"]["embeddingState"] == "EMBEDDING_STATE_EMBEDDED"
    found = await buf_curl(
        stack, f"{EVENTS}/SearchEvents", {"query": "where is the pet?", "metadataFilter": {"topic": topic}}
    )
    assert [hit["event"]["id"] for hit in found["hits"]] == [created["event"]["id"]]


async def test_an_event_written_over_http_is_found_over_grpc_and_the_other_way_round(
    channel: grpc.aio.Channel, http: aiohttp.ClientSession
) -> None:
    topic = uuid.uuid4().hex
    body = {"content": {"text": "Rain is expected in the evening."}, "metadata": {"topic": topic}}
    async with http.post("/v1/events", json=body) as response:
        assert response.status == 200
        written = await response.json()
    events = event_service_pb2_grpc.EventServiceStub(channel)
    request = event_service_pb2.SearchEventsRequest(query="will it be wet tonight?")
    request.metadata_filter.update({"topic": topic})
    found = await events.SearchEvents(request, timeout=30)
    assert [hit.event.id for hit in found.hits] == [written["id"]]

    second = event_service_pb2.Event()
    second.content.update({"text": "Take an umbrella."})
    second.metadata.update({"topic": topic})
    created = await events.CreateEvent(event_service_pb2.CreateEventRequest(event=second), timeout=30)
    search = {"query": "should I carry an umbrella?", "metadata_filter": {"topic": topic}}
    async with http.post("/v1/search", json=search) as response:
        assert [hit["event"]["id"] for hit in (await response.json())["hits"]] == [created.event.id, written["id"]]
    query = {"query": "should I carry an umbrella?", "metadata_filter": json.dumps({"topic": topic})}
    async with http.get("/v1/search", params=query) as response:
        assert [hit["event"]["id"] for hit in (await response.json())["hits"]] == [created.event.id, written["id"]]


async def test_one_request_id_names_a_call_in_all_three_services_logs(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    identity = f"trace-{uuid.uuid4().hex}"
    async with http.get("/v1/search", params={"query": "anything"}, headers={"X-Request-Id": identity}) as response:
        assert response.status == 200
        assert response.headers["X-Request-Id"] == identity
    for service in ("gateway", "store", "embedder"):
        log = stack.settings.trimem_data_dir / "logs" / f"{service}.log"
        async with asyncio.timeout(10):  # the lines travel through a pipe
            while identity not in log.read_text():
                await asyncio.sleep(0.02)


async def test_no_text_of_a_user_is_in_the_logs(stack: Stack, http: aiohttp.ClientSession) -> None:
    secret = f"swordfish{uuid.uuid4().hex}"
    identity = f"trace-{uuid.uuid4().hex}"
    async with http.post("/v1/events", json={"content": {"text": secret}}) as response:
        assert response.status == 200
    async with http.get("/v1/search", params={"query": secret}, headers={"X-Request-Id": identity}) as response:
        assert response.status == 200
    logs = stack.settings.trimem_data_dir / "logs"
    async with asyncio.timeout(10):
        while identity not in (logs / "gateway.log").read_text():
            await asyncio.sleep(0.02)
    for log in logs.glob("*.log"):
        assert secret not in log.read_text(), log.name


def event(content: object = None, **fields: object) -> dict[str, object]:
    return {"event": {"content": {"text": "fine"} if content is None else content, **fields}}


HUGE = "x" * 5_000_000

#: Method, HTTP verb and path, request as JSON, status code, field that the answer must name.
BAD = [
    ("Embed", "POST", "/v1/embed", {"inputs": ["fine", ""]}, "INVALID_ARGUMENT", "inputs[1]"),
    ("Embed", "POST", "/v1/embed", {"inputs": [" \n\t"]}, "INVALID_ARGUMENT", "inputs[0]"),
    ("Embed", "POST", "/v1/embed", {"inputs": []}, "INVALID_ARGUMENT", "inputs"),
    ("Embed", "POST", "/v1/embed", {"inputs": [HUGE]}, "INVALID_ARGUMENT", "inputs[0]"),
    ("Embed", "POST", "/v1/embed", {"inputs": ["a"], "dimensions": 7}, "INVALID_ARGUMENT", "dimensions"),
    ("ComputeSimilarity", "POST", "/v1/similarity", {"first": {"text": "a"}}, "INVALID_ARGUMENT", "second"),
    ("CreateEvent", "POST", "/v1/events", event({}), "INVALID_ARGUMENT", "event.content"),
    ("CreateEvent", "POST", "/v1/events", event({"text": HUGE}), "INVALID_ARGUMENT", "event.content"),
    ("CreateEvent", "POST", "/v1/events", event({"text": "a\0b"}), "INVALID_ARGUMENT", "event.content.text"),
    ("CreateEvent", "POST", "/v1/events", event(id="not-a-uuid"), "INVALID_ARGUMENT", "event.id"),
    ("GetEvent", "GET", "/v1/events/not-a-uuid", {"id": "not-a-uuid"}, "INVALID_ARGUMENT", "id"),
    ("GetEvent", "GET", f"/v1/events/{uuid.UUID(int=7)}", {"id": str(uuid.UUID(int=7))}, "NOT_FOUND", None),
    ("ListEvents", "GET", "/v1/events?page_size=-1", {"pageSize": -1}, "INVALID_ARGUMENT", "page_size"),
    ("ListEvents", "GET", "/v1/events?page_token=%21%21", {"pageToken": "!!"}, "INVALID_ARGUMENT", "page_token"),
    ("SearchEvents", "POST", "/v1/search", {"query": ""}, "INVALID_ARGUMENT", "query"),
    ("SearchEvents", "POST", "/v1/search", {"query": "  "}, "INVALID_ARGUMENT", "query"),
    ("SearchEvents", "POST", "/v1/search", {"query": HUGE}, "INVALID_ARGUMENT", "query"),
    ("SearchEvents", "POST", "/v1/search", {"query": "a", "pageSize": -5}, "INVALID_ARGUMENT", "page_size"),
    ("SearchEvents", "POST", "/v1/search", {"vector": {"values": [1, 2]}}, "INVALID_ARGUMENT", "vector"),
    ("SearchEvents", "POST", "/v1/search", {"query": "a", "minSimilarity": 3}, "INVALID_ARGUMENT", "min_similarity"),
]  # fmt: skip

HTTP_STATUS = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404}


def names(case: Any) -> str:
    return f"{case[0]}-{case[5]}-{case[4]}" if isinstance(case, tuple) else ""


@pytest.mark.parametrize("case", BAD, ids=names)
async def test_bad_input_over_grpc_gets_its_code_and_names_the_field(channel: grpc.aio.Channel, case: Any) -> None:
    method, _verb, _path, request, code, field = case
    if method in ("Embed", "ComputeSimilarity"):
        call = getattr(embedding_pb2_grpc.EmbeddingServiceStub(channel), method)
        message = getattr(embedding_pb2, f"{method}Request")()
    else:
        call = getattr(event_service_pb2_grpc.EventServiceStub(channel), method)
        message = getattr(event_service_pb2, f"{method}Request")()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(ParseDict(request, message), timeout=30)
    assert raised.value.code().name == code
    assert violations(status_of(raised.value).details) == ([field] if field else [])


def violations(details: Any) -> list[str]:
    bad_request = error_details_pb2.BadRequest()
    return [
        violation.field
        for detail in details
        if detail.Unpack(bad_request)
        for violation in bad_request.field_violations
    ]


@pytest.mark.parametrize("case", BAD, ids=names)
async def test_bad_input_over_http_gets_its_code_and_names_the_field(http: aiohttp.ClientSession, case: Any) -> None:
    _method, verb, path, request, code, field = case
    body = request["event"] if path == "/v1/events" else request
    async with http.request(verb, path, **(json_body(json.dumps(body).encode()) if verb == "POST" else {})) as response:
        await assert_refused(response, HTTP_STATUS[code], field)


def json_body(raw: bytes) -> dict[str, Any]:
    # As a file: aiohttp warns of large bodies that are one piece of bytes.
    return {"data": io.BytesIO(raw), "headers": {"Content-Type": "application/json"}}


async def assert_refused(response: aiohttp.ClientResponse, status: int, field: str | None) -> None:
    answer = await response.json()
    assert response.status == status, answer
    named = [v["field"] for detail in answer["details"] for v in detail.get("field_violations", [])]
    assert named == ([field] if field else []), answer
    assert answer["message"]


#: Verb, path, raw body, HTTP status, field.
BAD_HTTP = [
    ("POST", "/v1/search", b'{"query": "a\xff\xfe"}', 400, "body"),
    ("POST", "/v1/search", b"{", 400, "body"),
    ("POST", "/v1/search", b"[1]", 400, "body"),
    ("POST", "/v1/search", b'{"query": 7}', 400, "query"),
    ("POST", "/v1/search", b'{"query": ["a"]}', 400, "query"),
    ("POST", "/v1/search", b'{"page_size": "many", "query": "a"}', 400, "page_size"),
    ("POST", "/v1/search", b'{"query": "a", "mode": "PSYCHIC"}', 400, "mode"),
    ("POST", "/v1/search", b'{"query": "a", "colour": "red"}', 400, "colour"),
    ("POST", "/v1/search", b'{"query": "a", "start_time": "yesterday"}', 400, "start_time"),
    ("POST", "/v1/events", b'{"content": "text"}', 400, "event.content"),
    ("POST", "/v1/events", b'{"content": {"n": NaN}}', 400, "event.content.n"),
    ("POST", "/v1/embed", b'{"inputs": "one"}', 400, "inputs"),
    ("POST", "/v1/embed", b'{"inputs": [1]}', 400, "inputs[0]"),
    ("GET", "/v1/search?query=%ff%fe", b"", 400, None),
    ("GET", "/v1/events?page_size=ten", b"", 400, "page_size"),
    ("GET", "/v1/events?colour=red", b"", 400, "colour"),
    ("DELETE", "/v1/search", b"", 405, None),
    ("GET", "/v1/nothing", b"", 404, None),
]


@pytest.mark.parametrize("case", BAD_HTTP, ids=lambda case: f"{case[1]}-{case[2][:24]!r}")
async def test_malformed_http_is_refused_with_a_status_that_names_the_field(
    http: aiohttp.ClientSession, case: tuple[str, str, bytes, int, str | None]
) -> None:
    verb, path, body, status, field = case
    async with http.request(verb, URL(path, encoded=True), **(json_body(body) if body else {})) as response:
        answer = await response.json()
        assert response.status == status, answer
        named = [v["field"] for detail in answer["details"] for v in detail.get("field_violations", [])]
        if field:
            assert named == [field], answer


async def test_a_body_over_the_limit_is_refused_without_being_read_whole(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/search", **json_body(b" " * (17 * 1024 * 1024))) as r:
        assert r.status == 413
        assert (await r.json())["message"]


async def test_invalid_utf8_over_grpc_is_the_callers_fault(channel: grpc.aio.Channel) -> None:
    search: Any = channel.unary_unary(f"/{EVENTS}/SearchEvents")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await search(b"\x0a\x02\xff\xfe", timeout=30)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_health_lists_the_services(http: aiohttp.ClientSession) -> None:
    async with http.get("/health") as response:
        assert response.status == 200
        answer = await response.json()
    assert answer["status"] == "healthy"
    assert set(answer["services"]) == {"embedder", "store"}


async def test_metrics_are_exported_by_every_service(stack: Stack, http: aiohttp.ClientSession) -> None:
    for address in ("EMBEDDER_METRICS_PORT", "STORE_METRICS_PORT", "GATEWAY_HTTP_PORT"):
        async with http.get(f"http://{stack.address(address)}/metrics") as response:
            assert response.status == 200
            assert "trimem_rpc_seconds_bucket" in await response.text(), address
