"""Traces on their way to a collector: one that listens, one that is not there, one that never answers."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fixtures_gateway import PATIENCE, within_patience
from tests.rpc.test_gateway_process import http_port, started

FAST: dict[str, Any] = {"DRAIN_DELAY_SECONDS": 0, "STORE_TARGET": "127.0.0.1:1", "EMBEDDER_TARGET": "127.0.0.1:1"}


@asynccontextmanager
async def collector(*, answers: bool = True) -> AsyncIterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector: its endpoint, and what it was sent."""
    received: list[ExportTraceServiceRequest] = []
    over = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        received.append(ExportTraceServiceRequest.FromString(await request.read()))
        if not answers:
            await over.wait()
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", received
    finally:
        over.set()
        await runner.cleanup()


async def served_and_ended(**variables: Any) -> tuple[int | None, str]:
    """Start a gateway, ask it for events, and end it. Returns its exit code and its log."""
    async with started(**FAST, **variables) as process:
        port = await http_port(process)
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/v1/events") as response:
            assert response.status == 503  # no store is there
        process.send_signal(signal.SIGTERM)
        _, err = await within_patience(process.communicate())
        return process.returncode, err.decode()


async def test_the_last_spans_are_sent_before_the_process_ends_under_the_name_that_was_asked_for() -> None:
    async with collector() as (endpoint, received):
        code, _ = await served_and_ended(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_SERVICE_NAME="our-gateway")

    assert code == 0
    resources = [one for request in received for one in request.resource_spans]
    names = {each.key: each.value.string_value for one in resources for each in one.resource.attributes}
    assert names["service.name"] == "our-gateway"
    spans = [span.name for one in resources for scope in one.scope_spans for span in scope.spans]
    assert sorted(spans) == ["GET /v1/events", "trimem.store.v1.EventService/ListEvents"]


async def test_without_a_name_a_service_has_its_own() -> None:
    async with collector() as (endpoint, received):
        await served_and_ended(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    attributes = received[0].resource_spans[0].resource.attributes
    assert "trimem-gateway" in {each.value.string_value for each in attributes}


async def test_what_the_sampler_leaves_out_is_not_sent() -> None:
    async with collector() as (endpoint, received):
        code, _ = await served_and_ended(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_TRACES_SAMPLER="always_off")
    assert code == 0
    assert received == []


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_collector_that_is_not_there_harms_nothing(protocol: str) -> None:
    code, err = await served_and_ended(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_EXPORTER_OTLP_PROTOCOL=protocol, SHUTDOWN_GRACE_SECONDS=1
    )
    assert code == 0
    assert "Traceback" not in err


async def test_a_collector_that_never_answers_does_not_keep_the_process() -> None:
    async with collector(answers=False) as (endpoint, _):
        code, err = await served_and_ended(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, SHUTDOWN_GRACE_SECONDS=1)
    assert code == 0
    assert "the last traces were not sent" in err


async def test_without_the_extra_the_variable_is_named(tmp_path: Any) -> None:
    """A start that ignored it would leave an operator looking for traces."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name.startswith('opentelemetry') else real(name, *rest)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        env=os.environ | {"PYTHONPATH": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 2
    assert err.decode().startswith("gateway: OTEL_EXPORTER_OTLP_ENDPOINT is set, but trimem is installed without")
