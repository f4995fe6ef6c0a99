"""Streams end when their key may not go on: at their next message, at both doors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.auth.key_file import changing
from gateway.auth.scopes import Scope
from gateway.gate import InvalidKeyError, ScopeMissingError
from servicekit.status import reason_of
from tests.fixtures_gateway import PATIENCE, Fake, gateway, within_patience
from tests.fixtures_keys import add_key, bearer, metadata, revoke_key
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2

Change = Callable[[Path], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def revoke(path: Path) -> None:
    revoke_key(path, "lost")


def reduce(path: Path) -> None:
    """Leave it only what no stream needs."""
    with changing(path) as change:
        change.keys = tuple(replace(key, scopes=frozenset({Scope.READ})) for key in change.keys)


@pytest.mark.parametrize("method", ["ImportEvents", "EmbedStream"])
@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (revoke, grpc.StatusCode.UNAUTHENTICATED, lambda _: InvalidKeyError().message),
        (reduce, grpc.StatusCode.PERMISSION_DENIED, lambda scope: ScopeMissingError(scope).message),
    ],
)
async def test_a_stream_ends_at_its_next_message(
    path: Path, method: str, change: Change, code: grpc.StatusCode, message: Callable[[Scope], str]
) -> None:
    token = add_key(path, "lost", Scope.WRITE, Scope.EMBED)
    is_import = method == "ImportEvents"
    changed = asyncio.Event()

    async def messages() -> AsyncIterator[Any]:
        kind = event_service_pb2.ImportEventsRequest if is_import else embedding_pb2.EmbedStreamRequest
        yield kind()
        change(path)
        changed.set()
        while True:
            await asyncio.sleep(0.05)
            yield kind()

    async with gateway(store=Fake(), embedder=Fake(), api_keys_file=path) as rig:
        stub = rig.events.ImportEvents if is_import else rig.embedding.EmbedStream
        call = stub(messages(), metadata=metadata(token))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await within_patience(call if is_import else read_all(call))

    assert changed.is_set()
    assert (raised.value.code(), raised.value.details()) == (code, message(Scope.WRITE if is_import else Scope.EMBED))


async def read_all(call: Any) -> None:
    async for _ in call:
        pass


@pytest.mark.parametrize(("change", "status"), [(revoke, 401), (reduce, 403)])
async def test_an_import_over_http_ends_at_its_next_line(path: Path, change: Change, status: int) -> None:
    token = add_key(path, "lost", Scope.WRITE)

    async def lines() -> AsyncIterator[bytes]:
        yield b"{}\n"
        change(path)
        while True:
            await asyncio.sleep(0.05)
            yield b"{}\n"

    headers = {**bearer(token), "Content-Type": "application/x-ndjson"}
    async with (
        gateway(store=Fake(), api_keys_file=path) as rig,
        asyncio.timeout(PATIENCE),
        rig.http.post("/v1/events:import", data=lines(), headers=headers) as response,
    ):
        assert response.status == status


async def test_an_address_has_so_many_streams_that_need_no_key() -> None:
    """Watches of health last for ever, and anybody may open them, on as many connections as there are."""
    async with (
        gateway(max_keyless_streams_per_address=2) as rig,
        grpc.aio.insecure_channel(f"127.0.0.1:{rig.grpc_port}") as channel,  # ours would watch by itself
    ):
        health = health_pb2_grpc.HealthStub(channel)
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)

        async def question() -> AsyncIterator[Any]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            await asyncio.Event().wait()

        watch = health.Watch(health_pb2.HealthCheckRequest())
        describe = reflection.ServerReflectionInfo(question())
        for stream in (watch, describe):
            await within_patience(stream.read())

        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await within_patience(health.Watch(health_pb2.HealthCheckRequest()).read())
            assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert reason_of(raised.value) == "RATE_LIMITED"
        # Who only asks is answered.
        await health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)

        watch.cancel()
        describe.cancel()
        async with asyncio.timeout(PATIENCE):
            while not await has_answer(health.Watch(health_pb2.HealthCheckRequest())):
                await asyncio.sleep(0.05)  # the gateway learns of the cancelling a moment later


async def has_answer(stream: Any) -> bool:
    """Whether a stream begins rather than fails."""
    try:
        await stream.read()
    except grpc.aio.AioRpcError:
        return False
    stream.cancel()
    return True
