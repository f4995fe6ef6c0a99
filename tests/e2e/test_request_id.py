"""One request id leads through the logs of all three services."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from deploy.local.stack import Stack
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from trimem.store.v1 import event_service_pb2, event_service_pb2_grpc

PATIENCE = 30


async def services_that_logged(stack: Stack, identity: str, wanted: set[str]) -> set[str]:
    """The services with a line of this id, as soon as they are those wanted: lines follow answers."""
    folder: Path = stack.settings.trimem_data_dir / "logs"
    found: set[str] = set()
    async with asyncio.timeout(PATIENCE):
        while found != wanted:
            await asyncio.sleep(0.02)
            found = {
                name
                for name in ("gateway", "store", "embedder")
                if f"request_id={identity}" in (folder / f"{name}.log").read_text()
            }
    return found


@pytest.mark.parametrize("path", ["/v1/search", "/v1/events"])
async def test_of_http_requests(stack: Stack, path: str) -> None:
    identity = f"test-{uuid.uuid4()}"
    body = {"query": "boats"} if path == "/v1/search" else {"content": {"text": f"A boat of {identity}."}}
    async with (
        aiohttp.ClientSession(f"http://{stack.address('GATEWAY_HTTP_PORT')}") as client,
        client.post(path, json=body, headers={"X-Request-Id": identity}) as response,
    ):
        assert response.status == 200
        assert response.headers["X-Request-Id"] == identity
    assert await services_that_logged(stack, identity, {"gateway", "store", "embedder"})


@pytest.mark.parametrize(
    ("path", "status", "services"),
    [
        ("/v1/events/0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4aff", 404, {"gateway", "store"}),
        ("/v1/events?page_token=nonsense", 400, {"gateway", "store"}),
        ("/v1/events?page_size=many", 400, {"gateway"}),
        ("/nowhere", 404, {"gateway"}),
    ],
)
async def test_of_http_errors(stack: Stack, path: str, status: int, services: set[str]) -> None:
    identity = f"test-{uuid.uuid4()}"
    async with (
        aiohttp.ClientSession(f"http://{stack.address('GATEWAY_HTTP_PORT')}") as client,
        client.get(path, headers={"X-Request-Id": identity}) as response,
    ):
        assert (response.status, response.headers["X-Request-Id"]) == (status, identity)
        assert identity in await response.text()
    assert await services_that_logged(stack, identity, services)


async def test_of_streams(stack: Stack) -> None:
    importing, embedding = (f"test-{uuid.uuid4()}" for _ in range(2))
    async with grpc.aio.insecure_channel(stack.address("GATEWAY_PORT")) as channel:
        events: event_service_pb2_grpc.EventServiceAsyncStub = event_service_pb2_grpc.EventServiceStub(channel)
        event = event_service_pb2.Event()
        event.content.update({"text": f"A boat of {importing}."})
        request = event_service_pb2.ImportEventsRequest(requests=[event_service_pb2.CreateEventRequest(event=event)])
        call = events.ImportEvents(iter([request]), metadata=(("x-request-id", importing),), timeout=PATIENCE)
        assert (await call).settled_count == 1
        assert ("x-request-id", importing) in tuple(await call.trailing_metadata())

        texts: embedding_pb2_grpc.EmbeddingServiceAsyncStub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        stream = texts.EmbedStream(
            iter([embedding_pb2.EmbedStreamRequest(id="1", input="a boat")]),
            metadata=(("x-request-id", embedding),),
            timeout=PATIENCE,
        )
        assert [answer.id async for answer in stream] == ["1"]
        assert ("x-request-id", embedding) in tuple(await stream.trailing_metadata())
    assert await services_that_logged(stack, importing, {"gateway", "store", "embedder"})
    assert await services_that_logged(stack, embedding, {"gateway", "embedder"})


async def test_of_a_method_that_is_not_there(stack: Stack) -> None:
    identity = f"test-{uuid.uuid4()}"
    async with grpc.aio.insecure_channel(stack.address("GATEWAY_PORT")) as channel:
        listing: Any = channel.unary_unary("/trimem.store.v1.StoreAdminService/GetStatus")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await listing(b"", metadata=(("x-request-id", identity),), timeout=PATIENCE)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert ("x-request-id", identity) in tuple(raised.value.trailing_metadata())
    assert await services_that_logged(stack, identity, {"gateway"})
