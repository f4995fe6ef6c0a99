"""Health, metrics, request ids and the access log of the HTTP side."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from gateway.http.operations import Operations
from tests.fixtures_gateway import PATIENCE, Context, Fake, Rig, gateway, within_patience
from trimem.store.v1 import event_service_pb2

#: Health does not look at the request.
ANY_REQUEST: Any = None


async def health(rig: Rig) -> tuple[int, dict[str, Any]]:
    async with asyncio.timeout(PATIENCE), rig.http.get("/health") as response:
        answer: dict[str, Any] = await response.json()
        return response.status, answer


@pytest.mark.parametrize(
    ("up", "code", "status"),
    [
        ({"store", "embedder"}, 200, "healthy"),
        ({"store"}, 503, "degraded"),
        ({"embedder"}, 503, "degraded"),
        (set(), 503, "unhealthy"),
    ],
)
async def test_health_says_which_parts_are_up(up: set[str], code: int, status: str) -> None:
    parts: dict[str, Any] = {name: Fake() for name in up}
    async with gateway(**parts) as rig:
        answer = await health(rig)

    assert answer[0] == code
    assert set(answer[1]) == {"status", "timestamp", "services"}
    assert answer[1]["status"] == status
    assert answer[1]["services"] == {name: "up" if name in up else "down" for name in ("embedder", "store")}
    assert abs((datetime.now(UTC) - datetime.fromisoformat(answer[1]["timestamp"])).total_seconds()) < PATIENCE


async def test_a_part_that_is_not_ready_is_down_until_it_is() -> None:
    async with gateway(store=Fake(), embedder=Fake()) as rig:
        await rig.servers["store"].set_ready(False)
        _, answer = await health(rig)
        assert (answer["status"], answer["services"]) == ("degraded", {"embedder": "up", "store": "down"})

        await rig.servers["store"].set_ready(True)
        async with asyncio.timeout(PATIENCE):
            while (await health(rig))[0] != 200:
                await asyncio.sleep(0.01)


async def answer_of(response: Any) -> tuple[int, Any]:
    return response.status, json.loads(response.body)


@pytest.mark.parametrize("up", [{"store", "embedder"}, {"store"}, {"embedder"}])
async def test_a_gateway_is_ready_while_it_has_a_part_to_send_requests_to(up: set[str]) -> None:
    parts: dict[str, Any] = {name: Fake() for name in up}
    async with gateway(**parts) as rig, rig.http.get("/readyz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ready", "reasons": []})


async def test_a_gateway_that_is_not_ready_says_why_and_is_alive_nevertheless() -> None:
    async with gateway() as rig:
        operations = Operations(rig.backends, CollectorRegistry())
        down = ["the embedder is down", "the store is down"]
        assert await answer_of(await operations.readyz(ANY_REQUEST, {})) == (
            503,
            {"status": "not ready", "reasons": down},
        )
        operations.set_draining()
        assert await answer_of(await operations.readyz(ANY_REQUEST, {})) == (
            503,
            {"status": "not ready", "reasons": [*down, "the gateway is shutting down"]},
        )
        assert await answer_of(await operations.livez(ANY_REQUEST, {})) == (200, {"status": "alive"})
        async with rig.http.get("/livez") as response:
            assert response.status == 200


async def test_draining_lets_requests_in_flight_finish_and_is_unhealthy_meanwhile() -> None:
    working, finish = asyncio.Event(), asyncio.Event()

    async def act(_request: Any, _context: Context) -> Any:
        working.set()
        await finish.wait()
        return event_service_pb2.ListEventsResponse()

    async with gateway(store=Fake(act), embedder=Fake()) as rig:
        asking = asyncio.create_task(_status(rig, "/v1/events"))
        await within_patience(working.wait())
        draining = asyncio.create_task(rig.server.drain())
        done, _ = await asyncio.wait({draining}, timeout=0.2)
        assert not done
        finish.set()
        assert await within_patience(asking) == 200
        await within_patience(draining)


async def test_a_gateway_that_is_going_to_stop_is_unhealthy_although_its_parts_are_up() -> None:
    registry = CollectorRegistry()
    async with gateway(store=Fake(), embedder=Fake()) as rig:
        operations = Operations(rig.backends, registry)
        assert (await operations.health(ANY_REQUEST, {})).status == 200
        operations.set_draining()
        response = await operations.health(ANY_REQUEST, {})

    assert response.status == 503
    assert isinstance(response.body, bytes)
    answer = json.loads(response.body)
    assert (answer["status"], answer["services"]) == ("unhealthy", {"embedder": "up", "store": "up"})


async def _status(rig: Rig, path: str) -> int:
    async with rig.http.get(path) as response:
        return response.status


async def test_requests_are_counted_by_method_route_and_code_and_nothing_that_callers_make_up() -> None:
    async with gateway(store=Fake(), embedder=Fake()) as rig:
        for path in ("/v1/events/a", "/v1/events/b", "/v1/made-up", "/v1/events?page_size=x", "/health"):
            await _status(rig, path)
        async with rig.http.request("PROPFIND", "/v1/events") as response:
            assert response.status == 405
        async with rig.http.get("/metrics") as response:
            assert response.status == 200
            assert response.content_type == "text/plain"
            exposition = await response.text()

    assert counts(rig.registry) == {
        ("GET", "/v1/events/{id}", "200"): 2,
        ("", "unmatched", "404"): 1,
        ("", "unmatched", "405"): 1,
        ("GET", "/v1/events", "400"): 1,
    }
    assert 'trimem_http_seconds_count{code="200",key="",method="GET",route="/v1/events/{id}"} 2.0' in exposition
    assert "made-up" not in exposition


def counts(registry: CollectorRegistry) -> dict[tuple[str, str, str], float]:
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["code"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "trimem_http_seconds_count"
    }


async def test_the_request_id_of_a_client_is_used_and_returned() -> None:
    store = Fake()
    async with gateway(store=store) as rig, rig.http.get("/v1/events", headers={"X-Request-Id": "req-7"}) as response:
        assert response.headers["X-Request-Id"] == "req-7"

    assert store.metadata["x-request-id"] == "req-7"


@pytest.mark.parametrize("offered", [None, "with space", "x" * 200, '"quoted"'])
async def test_an_absent_or_unsafe_request_id_is_replaced(offered: str | None) -> None:
    store = Fake()
    headers = {} if offered is None else {"X-Request-Id": offered}
    async with gateway(store=store) as rig, rig.http.get("/v1/events", headers=headers) as response:
        identity = response.headers["X-Request-Id"]

    assert identity
    assert identity != offered
    assert store.metadata["x-request-id"] == identity


async def test_requests_on_one_connection_have_ids_of_their_own() -> None:
    async with gateway(store=Fake()) as rig:
        identities = set()
        for _ in range(3):
            async with rig.http.get("/v1/events") as response:
                identities.add(response.headers["X-Request-Id"])
    assert len(identities) == 3


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


async def test_the_access_log_says_what_was_asked_and_how_it_ended_but_nothing_of_its_contents(
    logged: list[Any],
) -> None:
    async with gateway(store=Fake()) as rig:
        await _status(rig, "/v1/events/secret-id?token=secret")
        await _status(rig, "/secret-path")
        await _status(rig, "/health")

    lines = [line for line in logged if line["event"] == "http"]
    assert [(line["method"], line["route"], line["code"], line["log_level"]) for line in lines] == [
        ("GET", "/v1/events/{id}", 400, "info"),
        ("GET", "unmatched", 404, "info"),
        ("GET", "/health", 503, "debug"),
    ]
    assert "secret" not in str(logged)
