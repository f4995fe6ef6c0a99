"""What a server logs and counts of its calls."""

import asyncio
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.errors import NotFoundError
from servicekit.metrics_server import metrics_exporter
from servicekit.server import PortTakenError
from servicekit.telemetry import new_registry
from tests.rpc.servicekit_rig import (
    METHODS,
    PATIENCE,
    Context,
    ask,
    ask_path,
    begin,
    finish,
    kinds,
    logging_configured,
    serve,
    until,
)

PRIVATE = "my diary, page one"


async def fine(_context: Context) -> str:
    return "fine " + PRIVATE


async def not_found(_context: Context) -> str:
    raise NotFoundError("no such thing")


async def surprise(_context: Context) -> str:
    told = PRIVATE
    assert told
    raise RuntimeError("surprise")


async def abort(context: Context) -> str:
    await context.abort(grpc.StatusCode.DATA_LOSS, "gone")
    return "unreachable"


async def abort_with_a_number(context: Context) -> str:
    await context.abort(grpc.StatusCode.ABORTED.value[0], "later")
    return "unreachable"


async def set_code(context: Context) -> str:
    context.set_code(grpc.StatusCode.OUT_OF_RANGE)
    return "ignored"


OUTCOMES = [
    (fine, "OK", "info"),
    (not_found, "NOT_FOUND", "info"),
    (surprise, "INTERNAL", "error"),
    (abort, "DATA_LOSS", "error"),
    (abort_with_a_number, "ABORTED", "info"),
    (set_code, "OUT_OF_RANGE", "info"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("act", "code", "level"), OUTCOMES)
async def test_every_call_has_one_line_and_one_count_with_the_code_that_its_caller_saw(
    method: str, act: Callable[[Context], Awaitable[str]], code: str, level: str
) -> None:
    with logging_configured() as logged:
        async with serve(kinds(act)) as running:
            answer = await ask(
                running.channel(), method, StringValue(value=PRIVATE), metadata=(("x-request-id", "abc-8"),)
            )
            await until(lambda: running.in_flight(method) == 0 and bool(logged.access(method)))

            assert answer.code.name == code
            assert running.finished(method, code) == 1
            assert total(running.registry) == 1

    (line,) = logged.access(method)
    assert line["level"] == level
    assert (line["code"], line["request_id"], line["service"]) == (code, "abc-8", "test")
    assert line["duration_ms"] >= 0
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert line["timestamp"].endswith("Z")
    assert PRIVATE not in logged.text


def total(registry: object) -> float:
    """Calls counted with any method and any code."""
    return sum(
        sample.value
        for metric in registry.collect()  # type: ignore[attr-defined]
        for sample in metric.samples
        if sample.name == "trimem_rpc_seconds_count"
    )


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_that_its_caller_cancels_is_in_flight_until_then(method: str) -> None:
    entered = asyncio.Event()

    async def act(_context: Context) -> str:
        entered.set()
        await asyncio.Event().wait()
        return "unreachable"

    with logging_configured() as logged:
        async with serve(kinds(act)) as running, asyncio.timeout(PATIENCE):
            call = begin(running.channel(), method)
            reading = asyncio.ensure_future(finish(call))
            await entered.wait()
            assert running.in_flight(method) == 1
            call.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await until(lambda: running.in_flight(method) == 0)
            assert running.finished(method, "CANCELLED") == 1

    (line,) = logged.access(method)
    assert (line["code"], line["level"]) == ("CANCELLED", "info")


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_whose_time_ran_out_is_reported_as_its_caller_saw_it(method: str) -> None:
    async def act(_context: Context) -> str:
        await asyncio.Event().wait()
        return "unreachable"

    with logging_configured() as logged:
        async with serve(kinds(act)) as running:
            answer = await ask(running.channel(), method, timeout=0.5)
            await until(lambda: running.in_flight(method) == 0)
            assert running.finished(method, "DEADLINE_EXCEEDED") == 1

    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    (line,) = logged.access(method)
    assert line["code"] == "DEADLINE_EXCEEDED"


async def test_an_unexpected_exception_is_logged_with_its_traceback_and_without_what_was_said() -> None:
    with logging_configured() as logged:
        async with serve(kinds(surprise)) as running:
            await ask(running.channel(), "UnaryUnary", StringValue(value=PRIVATE), metadata=(("x-request-id", "a-9"),))

    (line,) = [line for line in logged.lines if line["event"] == "unexpected"]
    assert (line["level"], line["request_id"], line["method"]) == ("error", "a-9", "/test.Kinds/UnaryUnary")
    (raised,) = line["exception"]
    assert (raised["exc_type"], raised["exc_value"]) == ("RuntimeError", "surprise")
    assert raised["frames"][-1]["name"] == "surprise"
    assert all("locals" not in frame for frame in raised["frames"])
    assert PRIVATE not in logged.text


async def test_health_checks_are_neither_counted_nor_logged_but_for_debugging() -> None:
    for debug in (False, True):
        with logging_configured(debug=debug) as logged:
            async with serve() as running:
                stub = health_pb2_grpc.HealthStub(running.channel())
                await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
                assert total(running.registry) == 0
                assert "trimem_rpc_in_flight{" not in str(list(running.registry.collect()))
        lines = [line for line in logged.lines if line.get("method") == "/grpc.health.v1.Health/Check"]
        assert [line["level"] for line in lines] == (["debug"] if debug else [])


async def test_a_method_that_is_not_there_makes_no_label() -> None:
    """Otherwise a caller could fill the memory with names."""
    async with serve(kinds(fine)) as running:
        await ask_path(running.channel(), "/test.Kinds/Invented")
        assert total(running.registry) == 0


def threads_besides(before: set[threading.Thread]) -> set[threading.Thread]:
    """Threads that are new and stay: one that answers a request may take a moment to end."""
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    return set(threading.enumerate()) - before


def test_the_exporter_serves_the_registry_and_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with metrics_exporter(new_registry(), address="127.0.0.1", port=0) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as response:
            text = response.read().decode()
        assert "process_resident_memory_bytes" in text
        assert "python_gc_objects_collected_total" in text
    assert threads_besides(before) == set()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE)


def test_the_exporter_stops_when_its_body_fails() -> None:
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), metrics_exporter(new_registry(), address="127.0.0.1", port=0):
        raise ZeroDivisionError
    assert threads_besides(before) == set()


def test_the_exporter_names_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(PortTakenError, match=rf"127\.0\.0\.1:{port}\b"),
            metrics_exporter(new_registry(), address="127.0.0.1", port=port),
        ):
            pass
