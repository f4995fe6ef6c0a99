"""Whatever comes over HTTP: never a 500, never silence, and what is read is what was meant."""

import asyncio
import json
import string
from typing import Any
from urllib.parse import quote

import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures_gateway import PATIENCE, Fake, Rig, gateway
from trimem.embedding.v1 import embedding_pb2

SETTINGS = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

#: All that a request may be told: it was fine, it was wrong, there is nothing there, it was too large.
EXPECTED = {200, 304, 400, 401, 404, 405, 408, 413, 415, 429, 431}

PATHS = (
    "/v1/events",
    "/v1/events/a",
    "/v1/events:import",
    "/v1/events:batchCreate",
    "/v1/search",
    "/v1/embed",
    "/v1/embed:stream",
    "/v1/embeddings",
    "/v1/models",
    "/v1/models/text",
    "/v1/similarity",
    "/v1/tokens:count",
    "/openapi.json",
    "/docs",
    "/health",
    "/metrics",
)

anything = st.text(st.characters(exclude_categories=()), max_size=12)
printable = st.text(string.printable.replace("\r", "").replace("\n", ""), max_size=30)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything, inner, max_size=4),
)
NAMES = ("input", "model", "dimensions", "encoding_format", "user", "event", "content", "inputs", "id", "requestId")
HEADERS = (
    "Accept",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Authorization",
    "Content-Type",
    "Cookie",
    "Expect",
    "Grpc-Timeout",
    "If-None-Match",
    "Origin",
    "Transfer-Encoding",
    "Upgrade",
    "X-HTTP-Method-Override",
    "X-Request-Id",
)
VALUES = ("application/json", "application/x-ndjson", "https://a.b", "POST", "1S", "*", "chunked")

names = st.sampled_from(NAMES)
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get"]),
        "path": st.sampled_from(PATHS) | st.text(string.printable[:-6], max_size=30).map("/v1/".__add__),
        "query": st.lists(st.tuples(names | anything.map(repr), anything.map(repr)), max_size=3),
        "headers": st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(VALUES) | printable, max_size=4),
        "body": st.binary(max_size=60) | trees.map(lambda tree: json.dumps(tree).encode()),
    }
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rig() -> Any:
    async def embed(request: Any, _context: Any) -> Any:
        if isinstance(request, embedding_pb2.EmbedRequest):
            vector = embedding_pb2.Vector(values=[1.0])
            embedding = embedding_pb2.Embedding(text=vector, code=vector)
            return embedding_pb2.EmbedResponse(embeddings=[embedding] * len(request.inputs))
        return {
            "ListModelsRequest": embedding_pb2.ListModelsResponse(),
            "CountTokensRequest": embedding_pb2.CountTokensResponse(),
            "ComputeSimilarityRequest": embedding_pb2.ComputeSimilarityResponse(),
            "EmbedStreamRequest": embedding_pb2.EmbedStreamResponse(),
        }[type(request).__name__]

    limits = {"http_max_body_bytes": 4096, "http_max_header_bytes": 4096, "http_read_timeout_seconds": 2}
    async with gateway(store=Fake(), embedder=Fake(embed), http_cors_origins=("https://a.b",), **limits) as running:
        yield running


async def statuses(rig: Rig, request: bytes, *, end: bool = False) -> list[int]:
    """The statuses of the answers to the bytes of one connection; with `end` no more can come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.http_port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(request)
            if end:
                writer.write_eof()
            answer = await reader.read()
    finally:
        writer.close()
    return [
        int(line.split(b" ", 2)[1])
        for line in answer.split(b"\n")
        if line.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) and line.split(b" ", 2)[1].isdigit()
    ]


@SETTINGS
@given(asked=requests)
async def test_no_request_is_an_internal_error_or_goes_unanswered(rig: Rig, asked: dict[str, Any]) -> None:
    body = asked["body"]
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in asked["query"])
    lines = [f"{asked['method']} {asked['path']}{'?' if query else ''}{query} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in asked["headers"].items()]
    lines += ["Connection: close", f"Content-Length: {len(body)}", "", ""]
    found = await statuses(rig, "\r\n".join(lines).encode("latin-1", "replace") + body)

    assert found
    assert set(found) <= EXPECTED | {204, 503}, found  # 503: /health, when nothing is asked of it


@SETTINGS
@given(data=st.binary(max_size=200) | st.binary(max_size=60).map(lambda rest: b"POST /v1/search HTTP/1.1\r\n" + rest))
async def test_no_bytes_are_an_internal_error_or_keep_the_connection(rig: Rig, data: bytes) -> None:
    assert set(await statuses(rig, data, end=True)) <= EXPECTED


@SETTINGS
@given(
    path=st.sampled_from(["/v1/events:import", "/v1/embed:stream"]),
    lines=st.lists(trees.map(lambda tree: json.dumps(tree).encode()) | st.binary(max_size=20), max_size=5),
    cuts=st.lists(st.integers(1, 30), max_size=8),
)
async def test_no_stream_is_an_internal_error(rig: Rig, path: str, lines: list[bytes], cuts: list[int]) -> None:
    body = b"\n".join(lines)

    async def pieces() -> Any:
        rest = body
        for cut in cuts:
            yield rest[:cut]
            rest = rest[cut:]
        yield rest

    async with asyncio.timeout(PATIENCE), rig.http.post(path, data=pieces()) as response:
        await response.read()
    # The client library sends a type of its own for bytes without one.
    assert response.status in {200, 400, 413, 415}


@SETTINGS
@given(tree=st.dictionaries(names, trees, max_size=4) | trees)
async def test_no_body_of_embeddings_is_an_internal_error(rig: Rig, tree: Any) -> None:
    async with asyncio.timeout(PATIENCE), rig.http.post("/v1/embeddings", json=tree) as response:
        answer = await response.json()

    assert response.status in {200, 400, 404, 413}
    assert set(answer) == ({"object", "data", "model", "usage"} if response.status == 200 else {"error"})


@SETTINGS
@given(name=anything)
async def test_no_name_of_a_model_is_an_internal_error(rig: Rig, name: str) -> None:
    path = quote(name.encode("utf-8", "surrogatepass"), safe="/")
    [status] = await statuses(rig, f"GET /v1/models/{path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    assert status in {200, 400, 404}
