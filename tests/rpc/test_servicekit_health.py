"""Health as balancers and orchestrators see it."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.rpc.servicekit_rig import PATIENCE, Running, serve

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def check(channel: grpc.aio.Channel, service: str = "") -> int:
    response = await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE
    )
    status: int = response.status
    return status


async def test_nothing_serves_until_the_server_is_ready() -> None:
    async with serve(services=["a.A", "b.B"], ready=False) as running, plain(running) as channel:
        assert [await check(channel, name) for name in ("", "a.A", "b.B")] == [NOT_SERVING] * 3
        await running.server.set_ready(True)
        assert [await check(channel, name) for name in ("", "a.A", "b.B")] == [SERVING] * 3


async def test_one_service_can_be_ready_before_the_process_is() -> None:
    async with serve(services=["a.A", "b.B"], ready=False) as running, plain(running) as channel:
        await running.server.set_ready(True, "a.A")
        assert [await check(channel, name) for name in ("", "a.A", "b.B")] == [NOT_SERVING, SERVING, NOT_SERVING]


async def test_a_service_that_is_not_there_is_not_found() -> None:
    async with serve(services=["a.A"]) as running, plain(running) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(channel, "c.C")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watch_streams_every_change_and_ends_with_the_server() -> None:
    async with serve(ready=False) as running, plain(running) as channel, asyncio.timeout(PATIENCE):
        watch = watching(channel)
        assert (await watch.read()).status == NOT_SERVING
        await running.server.set_ready(True)
        assert (await watch.read()).status == SERVING
        await running.server.set_ready(False)
        assert (await watch.read()).status == NOT_SERVING
        await running.server.drain()
        # Not UNIMPLEMENTED: clients would take that for a server without health checks.
        assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_watch_of_a_service_that_is_not_there_waits_for_it() -> None:
    async with serve() as running, plain(running) as channel, asyncio.timeout(PATIENCE):
        watch = watching(channel, "later.Later")
        assert (await watch.read()).status == SERVICE_UNKNOWN
        await running.server.set_ready(True, "later.Later")
        assert (await watch.read()).status == SERVING


async def test_a_watcher_that_leaves_does_not_disturb_the_others() -> None:
    async with serve() as running, plain(running) as channel, asyncio.timeout(PATIENCE):
        leaving, staying = watching(channel), watching(channel)
        assert (await leaving.read()).status == SERVING
        assert (await staying.read()).status == SERVING
        leaving.cancel()
        await running.server.set_ready(False)
        assert (await staying.read()).status == NOT_SERVING


async def test_readiness_cannot_come_back_during_a_drain() -> None:
    async with serve(drain_delay_seconds=60) as running, plain(running) as channel, asyncio.timeout(PATIENCE):
        watch = watching(channel)
        assert (await watch.read()).status == SERVING
        draining = asyncio.create_task(running.server.drain())
        assert (await watch.read()).status == NOT_SERVING
        await running.server.set_ready(True)
        assert await check(channel) == NOT_SERVING
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)


def plain(running: Running) -> grpc.aio.Channel:
    """A channel without health checks of its own, as a probe uses it."""
    return grpc.aio.insecure_channel(running.target, options=[("grpc.use_local_subchannel_pool", 1)])


def watching(channel: grpc.aio.Channel, service: str = "") -> Any:
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))
