"""What is behind the gateway: which of it can be reached, and what callers are told when it cannot."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit.status import reason_of, status_of
from tests.fixtures_gateway import (
    METHODS,
    NOWHERE,
    PATIENCE,
    Context,
    Fake,
    Rig,
    backend_server,
    begin,
    finish,
    gateway,
    kinds_gateway,
    kinds_handlers,
    within_patience,
)
from trimem.embedding.v1 import model_admin_pb2
from trimem.store.v1 import event_service_pb2, store_admin_pb2

EVENTS, EMBEDDING = "trimem.store.v1.EventService", "trimem.embedding.v1.EmbeddingService"
ADMIN = "trimem.store.v1.StoreAdminService"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"/{EVENTS}/SearchEvents", "store"),
        (f"/{EMBEDDING}/Embed", "embedder"),
    ],
)
async def test_a_backend_that_is_down_is_named_and_nothing_else_is_said(path: str, name: str) -> None:
    up: dict[str, Any] = {"store": Fake(), "embedder": Fake()}
    del up[name]
    async with gateway(**up) as rig:
        call: Any = rig.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"", timeout=PATIENCE)

    error = raised.value
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, f"the {name} cannot be reached")
    status = status_of(error)
    types = {detail.TypeName() for detail in status.details}
    assert types == {"google.rpc.ErrorInfo", "google.rpc.RetryInfo", "google.rpc.RequestInfo"}
    assert reason_of(error) == "BACKEND_UNREACHABLE"
    assert NOWHERE not in str(status)


@pytest.mark.parametrize("method", METHODS)
async def test_a_backend_that_stops_during_a_call_is_unavailable(method: str) -> None:
    working = asyncio.Event()

    async def act(_requests: list[bytes], _context: Context) -> list[bytes]:
        working.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with kinds_gateway(kinds_handlers(act)) as rig:
        call = begin(rig.channel, method, [b"go"])
        await within_patience(working.wait())
        await rig.servers["kinds"].grpc.stop(0)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await finish(call)

    assert (raised.value.code(), raised.value.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "the kinds cannot be reached",
    )


async def test_a_backend_that_says_not_serving_is_as_good_as_down() -> None:
    async with gateway(store=Fake()) as rig:
        await rig.servers["store"].set_ready(False)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.events.GetEvent(event_service_pb2.GetEventRequest(), timeout=PATIENCE)

    assert raised.value.details() == "the store cannot be reached"


#: Methods that no caller of the gateway may reach.
ADMIN_METHODS = [
    f"/{service.full_name}/{method.name}"
    for file, name in ((store_admin_pb2, "StoreAdminService"), (model_admin_pb2, "ModelAdminService"))
    for service in [file.DESCRIPTOR.services_by_name[name]]
    for method in service.methods
]


@pytest.mark.parametrize(
    "path",
    [
        *ADMIN_METHODS,
        f"/{EVENTS}/Nothing",
        f"/{EVENTS}/getevent",
        f"/{EVENTS}/GetEvent/",
        f"/{EVENTS}",
        "/nonsense",
        "/",
        f"/{ADMIN.lower()}/getstatus",
        f"/{ADMIN.upper()}/GETSTATUS",
        f"/{ADMIN}/GetStatus/",
        f"/{ADMIN}/GetStatus?a=b",
        f"/{ADMIN}%2FGetStatus",
        f"//{ADMIN}/GetStatus",
        f"{ADMIN}/GetStatus",
        f"/{EVENTS}/../{ADMIN}/GetStatus",
        f"/{EVENTS}/GetEvent/../../{ADMIN}/GetStatus",
        f"/{EVENTS}/GetEvent;/{ADMIN}/GetStatus",
    ],
)
async def test_only_methods_of_public_services_are_passed_on_however_a_name_is_spelled(path: str) -> None:
    reached: list[str] = []

    class Everything(grpc.GenericRpcHandler):
        """A backend that answers whatever it is asked."""

        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            if not handler_call_details.method.startswith("/grpc.health."):
                reached.append(handler_call_details.method)
            return None

    async with (
        backend_server(handlers=[Everything()]) as (_, target),
        gateway(store_target=target, embedder_target=target) as rig,
    ):
        call: Any = rig.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"", timeout=PATIENCE)

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert reached == []


async def health_of(rig: Rig, service: str) -> str:
    health: Any = health_pb2_grpc.HealthStub(rig.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_the_gateway_serves_while_its_backends_are_down_and_says_which_services_do_not() -> None:
    async with gateway() as rig:
        assert await health_of(rig, "") == "SERVING"
        assert await health_of(rig, EVENTS) == "NOT_SERVING"
        assert await health_of(rig, EMBEDDING) == "NOT_SERVING"


async def test_the_health_of_a_service_is_that_of_its_backend() -> None:
    async with gateway(store=Fake()) as rig:

        async def is_said(status: str) -> None:
            async def said() -> bool:
                return await health_of(rig, EVENTS) == status

            await until(said)

        await is_said("SERVING")
        await rig.servers["store"].set_ready(False)
        await is_said("NOT_SERVING")
        await rig.servers["store"].set_ready(True)
        await is_said("SERVING")
        await rig.servers["store"].grpc.stop(0)
        await is_said("NOT_SERVING")
        assert await health_of(rig, "") == "SERVING"
        assert await health_of(rig, EMBEDDING) == "NOT_SERVING"


@pytest.mark.parametrize("ending", ["cancelled", "failed", "late", "backend gone"])
async def test_nothing_is_left_of_calls_that_did_not_end_well(ending: str) -> None:
    waiting = asyncio.Semaphore(0)

    async def act(requests: list[bytes], context: Context) -> list[bytes]:
        if requests == [b"hello"]:
            return [b"hello"]
        waiting.release()
        if ending == "failed":
            await context.abort(grpc.StatusCode.ABORTED, "no")
        await asyncio.Event().wait()
        raise AssertionError

    async with kinds_gateway(kinds_handlers(act)) as rig:
        for method in METHODS:
            await finish(begin(rig.channel, method, [b"hello"]))  # so that all connections are there
        before = len(asyncio.all_tasks())
        timeout = 0.5 if ending == "late" else PATIENCE
        calls = [begin(rig.channel, method, [b"go"], timeout=timeout) for method in METHODS * 5]
        endings = [asyncio.create_task(finish(call)) for call in calls]
        for _ in calls:
            await within_patience(waiting.acquire())
        if ending == "cancelled":
            for call in calls:
                call.cancel()
        elif ending == "backend gone":
            await rig.servers["kinds"].grpc.stop(0)
        results = await within_patience(asyncio.gather(*endings, return_exceptions=True))

        async def all_ended() -> bool:
            return len(asyncio.all_tasks()) <= before

        await until(all_ended)

    assert all(isinstance(result, grpc.aio.AioRpcError | asyncio.CancelledError) for result in results)


async def test_reflection_describes_the_public_services() -> None:
    async with gateway() as rig:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(rig.channel)
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=EVENTS)
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        described, listed = [each async for each in stub.ServerReflectionInfo([request, listing], timeout=PATIENCE)]

    assert described.file_descriptor_response.file_descriptor_proto
    names = {service.name for service in listed.list_services_response.service}
    assert {EVENTS, EMBEDDING} <= names
