"""Who calls too much is told when to come back, at both doors; streams are slowed down."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from gateway.auth.scopes import Scope
from servicekit.status import reason_of, status_of
from tests.fixtures_gateway import PATIENCE, Fake, Rig, gateway, within_patience
from tests.fixtures_keys import add_key, bearer, metadata
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2

GET = event_service_pb2.GetEventRequest(id="x")

#: So slow that no token comes back while a test runs.
SLOWLY = 0.001


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


async def limited(call: Any) -> tuple[str, float]:
    """The message of a call that is refused for its number, and the seconds after which to come back."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await within_patience(call)
    error = raised.value
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status_of(error).details)
    return error.details() or "", retry.retry_delay.ToTimedelta().total_seconds()


async def get(rig: Rig, token: str = "") -> tuple[int, str | None]:
    """Status and Retry-After of a read over HTTP."""
    headers = bearer(token) if token else {}
    async with asyncio.timeout(PATIENCE), rig.http.get("/v1/events/x", headers=headers) as response:
        await response.read()
        return response.status, response.headers.get("Retry-After")


async def test_a_key_has_its_burst_through_both_doors_together(path: Path) -> None:
    first, second = (add_key(path, name, Scope.READ) for name in ("first", "second"))
    async with gateway(
        store=Fake(), api_keys_file=path, rate_limit_requests_per_second=SLOWLY, rate_limit_burst=2
    ) as rig:
        await rig.events.GetEvent(GET, metadata=metadata(first), timeout=PATIENCE)
        assert await get(rig, first) == (200, None)

        message, wait = await limited(rig.events.GetEvent(GET, metadata=metadata(first), timeout=PATIENCE))
        assert message.startswith("too many requests: try again in ")
        assert 900 < wait <= 1001
        status, retry_after = await get(rig, first)
        assert status == 429
        assert retry_after is not None
        assert wait - PATIENCE < int(retry_after) <= 1001
        assert await get(rig, second) == (200, None)
        refused = rig.registry.get_sample_value("trimem_gateway_refusals_total", {"reason": "limit_requests"})
        assert refused == 2


async def test_who_waits_as_told_is_let_in(path: Path) -> None:
    token = add_key(path, "busy", Scope.READ)
    async with gateway(store=Fake(), api_keys_file=path, rate_limit_requests_per_second=20, rate_limit_burst=1) as rig:
        for _ in range(3):
            await rig.events.GetEvent(GET, metadata=metadata(token), timeout=PATIENCE)
            _, wait = await limited(rig.events.GetEvent(GET, metadata=metadata(token), timeout=PATIENCE))
            await asyncio.sleep(wait)


async def test_an_address_has_its_limit_before_its_key_is_looked_at(path: Path) -> None:
    token = add_key(path, "good", Scope.READ)
    async with gateway(
        store=Fake(),
        api_keys_file=path,
        rate_limit_address_requests_per_second=SLOWLY,
        rate_limit_address_burst=3,
    ) as rig:
        assert [(await get(rig, f"guess-{number}"))[0] for number in range(5)] == [401, 401, 401, 429, 429]
        message, _ = await limited(rig.events.GetEvent(GET, metadata=metadata(token), timeout=PATIENCE))
        assert message.startswith("too many requests from this address")
        async with rig.http.get("/health") as response:  # whoever watches the gateway comes from somewhere, too
            assert response.status == 503


async def test_without_keys_the_limits_of_a_key_are_those_of_the_address() -> None:
    async with gateway(store=Fake(), rate_limit_requests_per_second=SLOWLY, rate_limit_burst=1) as rig:
        assert [(await get(rig))[0] for _ in range(2)] == [200, 429]


async def test_a_call_that_may_not_be_made_takes_nothing_from_the_key(path: Path) -> None:
    token = add_key(path, "reader", Scope.READ)
    async with gateway(
        store=Fake(), api_keys_file=path, rate_limit_requests_per_second=SLOWLY, rate_limit_burst=1
    ) as rig:
        async with rig.http.delete("/v1/events/x", headers=bearer(token)) as response:
            assert response.status == 403
        assert await get(rig, token) == (200, None)


async def embed(rig: Rig, count: int) -> Any:
    return await rig.embedding.Embed(embedding_pb2.EmbedRequest(inputs=["a"] * count), timeout=PATIENCE)


async def post(rig: Rig, path: str, body: Any) -> int:
    async with asyncio.timeout(PATIENCE), rig.http.post(path, json=body) as response:
        await response.read()
        return response.status


async def test_texts_are_counted_not_calls() -> None:
    async with gateway(embedder=Fake(), rate_limit_texts_per_second=SLOWLY, rate_limit_texts_burst=10) as rig:
        await embed(rig, 4)
        assert await post(rig, "/v1/embed", {"inputs": ["a"] * 4}) == 200
        message, wait = await limited(embed(rig, 3))
        assert message.startswith("too many texts to embed")
        assert 900 < wait <= 1001
        assert await post(rig, "/v1/embed", {"inputs": ["a"] * 3}) == 429
        similar = {"first": {"text": "a"}, "second": {"text": "b"}}
        assert [await post(rig, "/v1/similarity", similar) for _ in range(2)] == [200, 429]
        # What runs no model is not counted.
        assert await post(rig, "/v1/tokens:count", {"inputs": ["a"] * 100}) == 200


async def test_a_call_with_more_texts_than_the_burst_is_possible_once_the_bucket_is_full() -> None:
    async with gateway(embedder=Fake(), rate_limit_texts_per_second=SLOWLY, rate_limit_texts_burst=10) as rig:
        await embed(rig, 1000)
        await limited(embed(rig, 1))


async def test_a_stream_is_slowed_down_to_its_rate_rather_than_broken() -> None:
    """Its texts go through at the rate, so 10 of them above a burst of 5 take a quarter of a second at 40 a second."""

    async def texts() -> AsyncIterator[Any]:
        for number in range(15):
            yield embedding_pb2.EmbedStreamRequest(id=str(number), input="a")

    async with gateway(embedder=Fake(), rate_limit_texts_per_second=40, rate_limit_texts_burst=5) as rig:
        started = time.monotonic()
        call = rig.embedding.EmbedStream(texts(), timeout=PATIENCE)
        ids = [answer.id async for answer in call]

    assert ids == [str(number) for number in range(15)]
    assert time.monotonic() - started > 0.24  # never faster, however slow the machine


async def test_a_stream_that_would_be_slowed_down_for_too_long_is_told_when_to_come_back() -> None:
    """Somebody with the same key has taken far more than the burst."""

    async with gateway(embedder=Fake(), rate_limit_texts_per_second=1, rate_limit_texts_burst=10) as rig:
        await embed(rig, 1000)
        message, wait = await limited(embed_first(rig))
        assert message.startswith("too many texts to embed: try again in ")
        assert 991 - PATIENCE < wait <= 991
        headers = {"Content-Type": "application/x-ndjson"}
        async with rig.http.post("/v1/embed:stream", data=b'{"input": "a"}\n', headers=headers) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) <= 991


async def test_a_stream_is_not_slowed_down_beyond_its_deadline() -> None:
    async with gateway(embedder=Fake(), rate_limit_texts_per_second=1, rate_limit_texts_burst=1) as rig:
        await embed(rig, 50)  # less than half of the longest silence
        _, wait = await limited(embed_first(rig, timeout=10))

    assert wait > 50 - PATIENCE


async def embed_first(rig: Rig, timeout: float | None = None) -> Any:
    """The first answer of a stream of one text."""

    async def text() -> AsyncIterator[Any]:
        yield embedding_pb2.EmbedStreamRequest(input="a")

    return await anext(aiter(rig.embedding.EmbedStream(text(), timeout=timeout)))


async def test_without_limits_there_are_none() -> None:
    async with gateway(store=Fake()) as rig:
        assert {(await get(rig))[0] for _ in range(150)} == {200}


async def test_a_stream_over_http_is_slowed_down_too() -> None:
    body = b"".join(b'{"id": "%d", "input": "a"}\n' % number for number in range(15))
    async with gateway(embedder=Fake(), rate_limit_texts_per_second=40, rate_limit_texts_burst=5) as rig:
        started = time.monotonic()
        headers = {"Content-Type": "application/x-ndjson"}
        async with rig.http.post("/v1/embed:stream", data=body, headers=headers) as response:
            lines = (await response.text()).splitlines()

    assert [json.loads(line)["id"] for line in lines] == [str(number) for number in range(15)]
    assert time.monotonic() - started > 0.24  # never faster, however slow the machine
