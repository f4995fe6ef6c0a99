"""One trace from the gateway to SQL, and what spans say and do not say."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from servicekit.channel_layers import ChannelLayer
from servicekit.channels import open_channel
from servicekit.errors import NotFoundError
from servicekit.interceptors import standard_layers
from servicekit.telemetry import new_registry
from store.database import Database
from tests.conftest import NewDatabase
from tests.fixtures_embedder import mock_models
from tests.fixtures_embedder import serving as embedder_serving
from tests.fixtures_gateway import METHODS as GATEWAY_METHODS
from tests.fixtures_gateway import begin as gateway_begin
from tests.fixtures_gateway import finish as gateway_finish
from tests.fixtures_gateway import gateway, kinds_gateway, kinds_handlers
from tests.fixtures_store import DIMENSION, stores
from tests.fixtures_traces import Traces, traced
from tests.rpc.servicekit_rig import (
    METHODS,
    PATIENCE,
    Context,
    ask,
    begin,
    finish,
    kinds,
    logging_configured,
    serve,
    until,
)

SEARCH = "trimem.store.v1.EventService/SearchEvents"
EMBED = "trimem.embedding.v1.EmbeddingService/Embed"
SECRET = "where did I bury the treasure"

#: A trace that somebody else has begun.
OUTSIDE_TRACE, OUTSIDE_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{OUTSIDE_TRACE}-{OUTSIDE_SPAN}-01"


@pytest.fixture
def traces() -> Iterator[Traces]:
    with traced() as found:
        yield found


async def fine(_context: Context) -> str:
    return "fine"


async def missing(_context: Context) -> str:
    raise NotFoundError(f"no such thing: {SECRET}")


async def surprise(_context: Context) -> str:
    raise RuntimeError(SECRET)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_search_over_http_is_one_trace_from_the_gateway_to_sql(
    traces: Traces, new_database: NewDatabase
) -> None:
    async with (
        embedder_serving(mock_models(DIMENSION)) as embedder,
        stores(new_database) as start,
    ):
        store = await start(embedder_target=embedder.target)
        await store.create(content={"text": SECRET})
        async with gateway(store_target=store.target, embedder_target=embedder.target) as rig:
            traces.exporter.clear()
            headers = {"X-Request-Id": "a-search", "Authorization": "Bearer trimem_abc_hunter2"}
            async with rig.http.post("/v1/search", json={"query": SECRET}, headers=headers) as response:
                assert response.status == 200
            await until(
                lambda: bool(traces.of("POST /v1/search", SpanKind.SERVER)) and bool(traces.of(SEARCH, SpanKind.CLIENT))
            )

    assert len(traces.ids()) == 1
    (http,) = traces.of("POST /v1/search", SpanKind.SERVER)
    (calling_store,) = traces.of(SEARCH, SpanKind.CLIENT)
    (searching,) = traces.of(SEARCH, SpanKind.SERVER)
    (calling_embedder,) = traces.of(EMBED, SpanKind.CLIENT)
    (embedding,) = traces.of(EMBED, SpanKind.SERVER)
    statements = traces.of_sql()
    assert http.parent is None
    chain = [http, calling_store, searching, calling_embedder, embedding]
    assert [traces.parent(span) for span in chain[1:]] == chain[:-1]
    assert statements
    assert all(traces.parent(span) is searching and span.kind is SpanKind.CLIENT for span in statements)
    assert len(traces.spans) == len(chain) + len(statements)

    assert attributes(http) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/v1/search",
        "http.response.status_code": 200,
        "trimem.request_id": "a-search",
    }
    assert attributes(searching) == {
        "rpc.system.name": "grpc",
        "rpc.method": SEARCH,
        "rpc.response.status_code": "OK",
        "trimem.request_id": "a-search",
    }
    assert attributes(embedding)["trimem.request_id"] == "a-search"
    for span in traces.spans:
        assert SECRET not in (said := span.to_json())
        assert "hunter2" not in said


@pytest.mark.parametrize("method", METHODS)
async def test_calls_of_all_kinds_have_a_span_on_either_side(traces: Traces, method: str) -> None:
    async with serve(kinds(fine)) as running:
        await ask(running.channel(), method, metadata=(("x-request-id", "abc-8"),))
        await until(lambda: len(traces.spans) == 2)

    (calling,), (serving,) = (traces.of(f"test.Kinds/{method}", kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER))
    assert traces.parent(serving) is calling
    assert attributes(serving)["trimem.request_id"] == "abc-8"
    assert calling.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("method", GATEWAY_METHODS)
async def test_calls_of_all_kinds_are_one_trace_through_the_gateway(traces: Traces, method: str) -> None:
    async def act(requests: list[bytes], _context: Context) -> list[bytes]:
        return requests

    async def requests() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with kinds_gateway(kinds_handlers(act)) as rig, asyncio.timeout(PATIENCE):
        sent = requests() if method.startswith("Stream") else [b"two"]
        assert (await gateway_finish(gateway_begin(rig.channel, method, sent)))[-1] == b"two"
        await until(lambda: len(traces.spans) == 4)

    calling, serving = (traces.of(f"test.Kinds/{method}", kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER))
    (ours,) = [span for span in calling if span.parent is None]
    (at_gateway,) = [span for span in serving if traces.parent(span) is ours]
    (onwards,) = [span for span in calling if traces.parent(span) is at_gateway]
    (at_backend,) = [span for span in serving if traces.parent(span) is onwards]
    assert {attributes(span)["rpc.response.status_code"] for span in (at_gateway, onwards, at_backend)} == {"OK"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("act", "code", "fault"), [(missing, "NOT_FOUND", False), (surprise, "INTERNAL", True)])
async def test_errors_are_the_status_of_spans_without_a_word_of_their_message(
    traces: Traces, method: str, act: Any, code: str, fault: bool
) -> None:
    async with serve(kinds(act)) as running:
        await ask(running.channel(), method, StringValue(value=SECRET))
        await until(lambda: len(traces.spans) == 2)

    (calling,), (serving,) = (traces.of(f"test.Kinds/{method}", kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER))
    assert attributes(serving)["rpc.response.status_code"] == attributes(calling)["rpc.response.status_code"] == code
    assert (calling.status.status_code, attributes(calling)["error.type"]) == (StatusCode.ERROR, code)
    assert serving.status.status_code is (StatusCode.ERROR if fault else StatusCode.UNSET)
    assert all(SECRET not in span.to_json() for span in traces.spans)


@pytest.mark.parametrize("method", METHODS)
async def test_spans_of_a_call_that_is_cancelled_end(traces: Traces, method: str) -> None:
    entered = asyncio.Event()

    async def act(_context: Context) -> str:
        entered.set()
        await asyncio.Event().wait()
        return "unreachable"

    async with serve(kinds(act)) as running, asyncio.timeout(PATIENCE):
        call = begin(running.channel(), method)
        reading = asyncio.ensure_future(finish(call))
        await entered.wait()
        call.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await until(lambda: len(traces.spans) == 2)
    assert {attributes(span)["rpc.response.status_code"] for span in traces.spans} == {"CANCELLED"}


async def test_a_trace_from_outside_goes_on_and_each_side_has_its_own_parent(traces: Traces) -> None:
    """The gateway passes metadata on: the store must not take the client's span for its parent."""
    async with gateway() as rig, grpc.aio.insecure_channel(f"127.0.0.1:{rig.grpc_port}") as outside:
        listing: Any = outside.unary_unary("/trimem.store.v1.EventService/ListEvents")
        metadata = (("traceparent", TRACEPARENT), ("tracestate", "vendor=1"), ("baggage", f"note={SECRET}"))
        with pytest.raises(grpc.aio.AioRpcError):
            await listing(b"", metadata=metadata, timeout=PATIENCE)
        async with rig.http.get("/v1/events", headers=dict(metadata)) as response:
            assert response.status == 503
        await until(lambda: len(traces.spans) == 4)

    assert traces.ids() == {int(OUTSIDE_TRACE, 16)}
    calling = traces.of("trimem.store.v1.EventService/ListEvents", SpanKind.CLIENT)
    parents = [traces.parent(span) for span in calling]
    assert {None if one is None else one.name for one in parents} == {
        "trimem.store.v1.EventService/ListEvents",
        "GET /v1/events",
    }
    for parent in parents:
        assert parent is not None
        assert parent.parent is not None
        assert parent.parent.span_id == int(OUTSIDE_SPAN, 16)
        assert parent.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("offered", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ÿ" * 55, "0" * 8000])
async def test_a_trace_that_cannot_be_read_is_begun_anew(traces: Traces, offered: str) -> None:
    async with gateway() as rig:
        async with rig.http.get("/v1/events", headers={"traceparent": offered}) as response:
            assert response.status == 503
        await until(lambda: len(traces.spans) == 2)
    assert len(traces.ids()) == 1


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/metrics"])
async def test_health_and_metrics_have_no_spans(traces: Traces, path: str) -> None:
    async with gateway() as rig, rig.http.get(path) as response:
        await response.read()
    assert traces.spans == []


async def test_requests_without_a_route_share_a_name(traces: Traces) -> None:
    async with gateway() as rig:
        for method in ("GET", "PROPFIND"):
            async with rig.http.request(method, f"/{SECRET.replace(' ', '-')}") as response:
                assert response.status == 404
    assert [span.name for span in traces.spans] == ["GET", "_OTHER"]
    assert all("treasure" not in span.to_json() for span in traces.spans)


async def test_log_lines_carry_the_trace(traces: Traces) -> None:
    with logging_configured() as logged:
        async with serve(kinds(surprise)) as running:
            await ask(running.channel(), "UnaryUnary", metadata=(("traceparent", TRACEPARENT),))
            await until(lambda: bool(logged.access("UnaryUnary")))
    (calling,) = traces.of("test.Kinds/UnaryUnary", SpanKind.CLIENT)
    assert calling.context is not None
    ids = [
        line["trace_id"]
        for line in logged.lines
        if line["event"] in ("rpc", "unexpected") and "UnaryUnary" in line["method"]
    ]
    assert ids == [f"{calling.context.trace_id:032x}"] * 2


async def test_statements_that_fail_say_how_and_those_of_nobody_are_not_traced(
    traces: Traces, new_database: NewDatabase
) -> None:
    database = Database(await new_database(migrated=True), min_size=1, max_size=1)
    await database.open()
    try:
        async with database.connection() as connection:
            await connection.execute("SELECT 1")
            await asyncio.sleep(0)
            assert traces.spans == []

            async def act(_context: Context) -> str:
                with pytest.raises(Exception, match="division"):
                    await connection.fetchval("SELECT 1 / $1::int AS treasure", 0)
                return "fine"

            async with serve(kinds(act)) as running:
                await ask(running.channel(), "UnaryUnary")
            await until(lambda: len(traces.spans) == 3)
    finally:
        await database.close()
    (statement,) = traces.of_sql()
    assert attributes(statement) == {
        "db.system.name": "postgresql",
        "db.operation.name": "SELECT",
        "db.query.summary": "SELECT",
        "db.response.status_code": "22012",
        "error.type": "DivisionByZeroError",
    }
    assert statement.status.status_code is StatusCode.ERROR


def test_without_tracing_nothing_is_imported_wrapped_or_added() -> None:
    program = "import sys, gateway.__main__, store.__main__, embedder.__main__; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "opentelemetry" not in found.stdout
    assert len(standard_layers(new_registry())) == 5


async def test_without_tracing_a_channel_is_that_of_grpc() -> None:
    async with open_channel("127.0.0.1:1", (), max_message_bytes=1) as channel:
        assert not isinstance(channel, ChannelLayer)
