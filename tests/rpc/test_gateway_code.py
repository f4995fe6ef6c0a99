"""Code memory through the gateway: files in NDJSON, and what a key may do with them."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.scopes import Scope
from tests.fixtures_gateway import PATIENCE, Fake, Rig, gateway
from tests.fixtures_keys import add_key, bearer
from trimem.store.v1 import code_service_pb2 as pb
from trimem.store.v1 import code_service_pb2_grpc as rpc

INDEX = "/v1/code/files:index"

#: Neither UTF-8 nor without a NUL, and with both characters in which the alphabets of base64 differ.
BINARY = b"\xfb\xff\x00" + bytes(range(256))


def line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def file_line(path: str, content: bytes, **more: Any) -> bytes:
    return line(file={"path": path, "content": base64.b64encode(content).decode()}, **more)


async def ask(rig: Rig, method: str, path: str, *, token: str = "", **options: Any) -> tuple[int, Any]:
    headers = {**(bearer(token) if token else {}), **options.pop("headers", {})}
    async with asyncio.timeout(PATIENCE), rig.http.request(method, path, headers=headers, **options) as response:
        return response.status, json.loads(await response.read())


async def index(rig: Rig, *lines: bytes, token: str = "") -> tuple[int, Any]:
    headers = {"Content-Type": "application/x-ndjson"}
    return await ask(rig, "POST", INDEX, token=token, data=io.BytesIO(b"".join(lines)), headers=headers)


async def test_lines_become_files_byte_for_byte() -> None:
    store = Fake()
    large = bytes(range(256)) * 4096  # as large as a file may be by default
    url_safe = base64.urlsafe_b64encode(BINARY).decode()
    async with gateway(store=store) as rig:
        status, answer = await index(
            rig,
            file_line("a.py", b"print()\r\n", repository="acme/backend"),
            line(file={"path": "b.bin", "content": url_safe}),
            file_line("large", large),
            line(file={"path": "empty.py"}),
            line(unchanged={"path": "c.py", "content_hash": "00"}),
            line(commit={}),
        )

    assert (status, answer["stored_count"]) == (200, "0")
    [messages] = store.requests
    assert [message.WhichOneof("item") for message in messages] == ["file"] * 4 + ["unchanged", "commit"]
    assert [message.file.content for message in messages[:4]] == [b"print()\r\n", BINARY, large, b""]
    assert messages[0].repository == "acme/backend"
    assert messages[4].unchanged.path == "c.py"


@pytest.mark.parametrize("content", ["=", "a", "print(1)", 5, ["YQ=="]])
async def test_what_is_no_base64_is_named_by_its_line(content: Any) -> None:
    async with gateway(store=Fake()) as rig:
        status, answer = await index(
            rig, file_line("a.py", b"", repository="r"), line(file={"path": "b.py", "content": content})
        )

    assert (status, answer["message"]) == (400, "lines[1].file.content: must be base64")


async def test_a_line_says_one_thing() -> None:
    async with gateway(store=Fake()) as rig:
        status, answer = await index(rig, line(repository="r", commit={}, unchanged={"path": "a"}))

    assert (status, answer["message"].partition(":")[0]) == (400, "lines[0].unchanged")


async def test_a_file_larger_than_a_line_may_be_is_refused() -> None:
    async with gateway(store=Fake(), http_max_body_bytes=4096) as rig:
        status, answer = await index(rig, file_line("a.py", b"a" * 4096, repository="r"))

    assert (status, answer["message"]) == (413, "body: has a line of more than 4096 bytes")


async def test_who_may_read_may_search_and_walk_and_not_write(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    reader, writer = (add_key(path, str(scope), scope) for scope in (Scope.READ, Scope.WRITE))
    async with gateway(store=Fake(), api_keys_file=path) as rig:

        async def both(method: str, path: str, **options: Any) -> list[int]:
            return [(await ask(rig, method, path, token=token, **options))[0] for token in (reader, writer)]

        assert await both("GET", "/v1/code/search?query=retry") == [200, 403]
        assert await both("POST", "/v1/code/search", json={"query": "retry"}) == [200, 403]
        assert await both("GET", "/v1/code/repositories") == [200, 403]
        assert await both("GET", "/v1/code/files?repository=r") == [200, 403]
        assert await both("GET", "/v1/code/chunks/x") == [200, 403]
        assert await both("GET", "/v1/graph/nodes/x") == [200, 403]
        assert await both("POST", "/v1/graph:traverse", json={}) == [200, 403]
        assert await both("POST", "/v1/graph:findPath", json={}) == [200, 403]
        assert await both("POST", "/v1/code/repositories:delete", json={"repository": "r"}) == [403, 200]
        assert await both("POST", "/v1/graph/nodes:upsert", json={}) == [403, 200]
        assert await both("POST", "/v1/graph/edges:upsert", json={}) == [403, 200]
        assert await both("POST", "/v1/graph/nodes:delete", json={}) == [403, 200]
        assert [(await index(rig, line(repository="r", commit={}), token=token))[0] for token in (reader, writer)] == [
            403,
            200,
        ]


async def test_files_are_no_texts_to_the_limits_as_events_are_none() -> None:
    """The store bounds how many calls index at once, and the embedder puts questions before documents."""
    store = Fake()
    async with gateway(store=store, rate_limit_texts_per_second=0.001, rate_limit_texts_burst=1) as rig:
        stub: rpc.CodeServiceAsyncStub = rpc.CodeServiceStub(rig.channel)
        files = [pb.IndexFilesRequest(repository="r", file=pb.FileContent(path=str(n), content=b"a")) for n in range(5)]
        await stub.IndexFiles(iter(files), timeout=PATIENCE)
        assert (await index(rig, *(file_line(str(n), b"a", repository="r") for n in range(5))))[0] == 200
        assert (await ask(rig, "GET", "/v1/code/search?query=retry"))[0] == 200
    assert [len(messages) for messages in store.requests[:2]] == [5, 5]


async def test_calls_that_index_are_counted_as_calls() -> None:
    async with gateway(store=Fake(), rate_limit_requests_per_second=0.001, rate_limit_burst=1) as rig:
        statuses = [(await index(rig, line(repository="r", commit={})))[0] for _ in range(2)]

    assert statuses == [200, 429]
