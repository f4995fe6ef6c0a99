"""Who may do what, at both doors of the gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from gateway.auth.scopes import Scope
from gateway.gate import InvalidKeyError
from servicekit.status import reason_of, status_of
from tests.fixtures_gateway import PATIENCE, Fake, Rig, gateway, settings, within_patience
from tests.fixtures_keys import add_key, bearer, metadata, revoke_key
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2

GET = event_service_pb2.GetEventRequest(id="x")
SECRET = "f" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def tokens(path: Path) -> dict[Scope, str]:
    """A token for each scope, of keys that are named like it."""
    return {scope: add_key(path, str(scope), scope) for scope in Scope}


@pytest_asyncio.fixture
async def rig(path: Path, tokens: dict[Scope, str]) -> AsyncIterator[Rig]:
    async with gateway(store=Fake(), embedder=Fake(), api_keys_file=path) as running:
        yield running


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def refusals(log: list[Any]) -> list[Any]:
    return [line for line in log if line["event"] == "refused"]


async def code(call: Any) -> grpc.StatusCode:
    """How a call ends."""
    try:
        await within_patience(call)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def http(rig: Rig, method: str, path: str, **options: Any) -> int:
    async with asyncio.timeout(PATIENCE), rig.http.request(method, path, **options) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_key_may_do_what_its_scope_says_and_nothing_else(
    rig: Rig, tokens: dict[Scope, str], scope: Scope
) -> None:
    with_key = {"metadata": metadata(tokens[scope]), "timeout": PATIENCE}
    grpc_calls = {
        Scope.READ: rig.events.GetEvent(GET, **with_key),
        Scope.WRITE: rig.events.DeleteEvent(event_service_pb2.DeleteEventRequest(id="x"), **with_key),
        Scope.EMBED: rig.embedding.Embed(embedding_pb2.EmbedRequest(inputs=["a"]), **with_key),
    }
    over_grpc = {needed for needed, call in grpc_calls.items() if await code(call) is grpc.StatusCode.OK}
    requests: dict[Scope, tuple[str, str, Any]] = {
        Scope.READ: ("GET", "/v1/events/x", None),
        Scope.WRITE: ("DELETE", "/v1/events/x", None),
        Scope.EMBED: ("POST", "/v1/embed", {"inputs": ["a"]}),
        Scope.METRICS: ("GET", "/metrics", None),
    }
    over_http = {
        needed: await http(rig, method, path, json=body, headers=bearer(tokens[scope]))
        for needed, (method, path, body) in requests.items()
    }

    assert over_grpc == {scope} - {Scope.METRICS}
    assert over_http == {needed: 200 if needed is scope else 403 for needed in Scope}


async def test_a_missing_scope_is_named(rig: Rig, tokens: dict[Scope, str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await rig.events.DeleteEvent(
            event_service_pb2.DeleteEventRequest(id="x"), metadata=metadata(tokens[Scope.READ]), timeout=PATIENCE
        )

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert raised.value.details() == "this needs an API key with the scope write"
    assert reason_of(raised.value) == "API_KEY_SCOPE_MISSING"


def bad_headers(tokens: dict[Scope, str]) -> dict[str, list[str]]:
    """Authorization headers that open nothing, by why."""
    good = tokens[Scope.READ]
    return {
        "missing": [],
        "no scheme": [good],
        "wrong scheme": [f"Basic {good}"],
        "no token": ["Bearer"],
        "empty token": ["Bearer "],
        "two tokens": [f"Bearer {good} {good}"],
        "two headers": [f"Bearer {good}", f"Bearer {good}"],
        "another system's": ["Bearer sk-1234567890"],
        "cut off": [f"Bearer {good[:-1]}"],
        "unknown id": [f"Bearer trimem_000000000000_{good[-64:]}"],
        "wrong secret": [f"Bearer {good[:-64]}{SECRET}"],
        "huge": ["Bearer " + "a" * 8000],
    }


async def test_whatever_is_wrong_with_a_key_callers_are_told_the_same_over_grpc(
    rig: Rig, tokens: dict[Scope, str]
) -> None:
    answers = set()
    for headers in bad_headers(tokens).values():
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.events.GetEvent(GET, metadata=[("authorization", value) for value in headers], timeout=PATIENCE)
        status = status_of(raised.value)
        details = [detail.SerializeToString() for detail in status.details if "RequestInfo" not in detail.type_url]
        answers.add((raised.value.code(), raised.value.details(), b"".join(details)))

    assert {(status_code, details) for status_code, details, _ in answers} == {
        (grpc.StatusCode.UNAUTHENTICATED, InvalidKeyError().message)
    }
    assert len(answers) == 1


async def test_whatever_is_wrong_with_a_key_callers_are_told_the_same_over_http(
    rig: Rig, tokens: dict[Scope, str]
) -> None:
    answers = set()
    for headers in bad_headers(tokens).values():
        sent = [("Authorization", value) for value in headers]
        async with asyncio.timeout(PATIENCE), rig.http.get("/v1/events/x", headers=sent) as response:
            body = await response.json()
            body["details"] = [detail for detail in body["details"] if "RequestInfo" not in detail["@type"]]
            answers.add((response.status, response.headers["WWW-Authenticate"], json.dumps(body)))

    ((status, challenge, body),) = answers
    assert (status, challenge) == (401, 'Bearer realm="trimem"')
    assert json.loads(body)["message"] == InvalidKeyError().message


async def test_a_key_that_expired_or_was_revoked_is_not_valid_and_no_more_is_said(rig: Rig, path: Path) -> None:
    expired = add_key(path, "old", Scope.READ, expires=datetime.now(UTC) - timedelta(seconds=1))
    revoked = add_key(path, "lost", Scope.READ)
    revoke_key(path, "lost")
    for token in (expired, revoked):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rig.events.GetEvent(GET, metadata=metadata(token), timeout=PATIENCE)
        assert raised.value.details() == InvalidKeyError().message


async def test_a_revoked_key_stops_working_on_an_open_connection(
    rig: Rig, path: Path, tokens: dict[Scope, str]
) -> None:
    """The same channel and the same HTTP session throughout."""

    async def answers() -> tuple[grpc.StatusCode, int]:
        call = rig.events.GetEvent(GET, metadata=metadata(tokens[Scope.READ]), timeout=PATIENCE)
        return await code(call), await http(rig, "GET", "/v1/events/x", headers=bearer(tokens[Scope.READ]))

    assert await answers() == (grpc.StatusCode.OK, 200)
    revoke_key(path, "read")
    async with asyncio.timeout(PATIENCE):
        while await answers() != (grpc.StatusCode.UNAUTHENTICATED, 401):
            await asyncio.sleep(0.05)
    assert await answers() == (grpc.StatusCode.UNAUTHENTICATED, 401)  # again: nothing brings it back


async def test_every_refusal_is_logged_with_what_is_known_and_without_the_token(
    rig: Rig, path: Path, tokens: dict[Scope, str], log: list[Any]
) -> None:
    good = tokens[Scope.READ]
    identity = good.split("_")[1]
    for token in (good, good[:-64] + SECRET, f"trimem_000000000000_{SECRET}", "sk-1234567890"):
        await code(rig.events.DeleteEvent(event_service_pb2.DeleteEventRequest(), metadata=metadata(token)))
    await http(rig, "DELETE", "/v1/events/x")

    lines = [(line["reason"], line.get("key"), line.get("key_id")) for line in refusals(log)]
    assert lines == [
        ("scope_missing", "read", identity),
        ("wrong_secret", None, identity),
        ("unknown", None, "000000000000"),
        ("malformed", None, None),
        ("missing", None, None),
    ]
    assert {line["address"] for line in refusals(log)} == {"127.0.0.1"}
    assert [line["method"] for line in refusals(log)][-2:] == [
        "/trimem.store.v1.EventService/DeleteEvent",
        "DELETE /v1/events/{id}",
    ]
    text = repr(log)
    assert not any(secret in text for secret in (good, good[-64:], SECRET, "sk-1234567890"))


async def test_calls_are_counted_by_the_name_of_the_key_and_refusals_by_reason(
    rig: Rig, tokens: dict[Scope, str]
) -> None:
    for token in (tokens[Scope.READ], tokens[Scope.WRITE], "sk-1234567890"):
        await code(rig.events.GetEvent(GET, metadata=metadata(token), timeout=PATIENCE))
        await http(rig, "GET", "/v1/events/x", headers=bearer(token))
    async with asyncio.timeout(PATIENCE):
        async with rig.http.get("/metrics", headers=bearer(tokens[Scope.METRICS])) as response:
            exposition = await response.text()

    method = "/trimem.store.v1.EventService/GetEvent"
    for line in (
        f'trimem_rpc_seconds_count{{code="OK",key="read",method="{method}"}} 1.0',
        f'trimem_rpc_seconds_count{{code="PERMISSION_DENIED",key="write",method="{method}"}} 1.0',
        f'trimem_rpc_seconds_count{{code="UNAUTHENTICATED",key="",method="{method}"}} 1.0',
        'trimem_http_seconds_count{code="200",key="read",method="GET",route="/v1/events/{id}"} 1.0',
        'trimem_http_seconds_count{code="403",key="write",method="GET",route="/v1/events/{id}"} 1.0',
        'trimem_http_seconds_count{code="401",key="",method="GET",route="/v1/events/{id}"} 1.0',
        'trimem_gateway_refusals_total{reason="scope_missing"} 2.0',
        'trimem_gateway_refusals_total{reason="malformed"} 2.0',
    ):
        assert line in exposition


async def test_the_access_log_names_the_key_and_forgets_it_with_the_next_request(
    rig: Rig, tokens: dict[Scope, str]
) -> None:
    """Requests of one connection share one context."""
    await http(rig, "GET", "/v1/events/x", headers=bearer(tokens[Scope.READ]))
    await http(rig, "GET", "/v1/events/x")

    counts = {
        key: rig.registry.get_sample_value(
            "trimem_http_seconds_count", {"method": "GET", "route": "/v1/events/{id}", "code": status, "key": key}
        )
        for key, status in (("read", "200"), ("", "401"))
    }
    assert counts == {"read": 1, "": 1}


async def test_no_key_reaches_a_backend(path: Path) -> None:
    token = add_key(path, "all", Scope.READ)
    fake = Fake()
    async with gateway(store=fake, api_keys_file=path) as rig:
        await rig.events.GetEvent(GET, metadata=(*metadata(token), ("x-other", "kept")), timeout=PATIENCE)
        over_grpc = fake.metadata
        await http(rig, "GET", "/v1/events/x", headers=bearer(token))

    assert over_grpc["x-other"] == "kept"
    assert "authorization" not in {*over_grpc, *fake.metadata}


async def test_nothing_of_a_request_is_read_before_its_key(path: Path) -> None:
    """One who has no key cannot make the gateway wait for, or keep, what never comes."""
    add_key(path, "somebody", Scope.READ)

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with gateway(store=Fake(), api_keys_file=path) as rig:
        # gRPC does not tell a server whether a call is unary: this one never sends its message.
        begin: Any = rig.channel.stream_unary("/trimem.store.v1.EventService/GetEvent")
        assert await code(begin(never())) is grpc.StatusCode.UNAUTHENTICATED

        reader, writer = await asyncio.open_connection("127.0.0.1", rig.http_port)
        writer.write(b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        assert b"401" in await within_patience(reader.readline())
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_unary_call_without_its_message_is_refused(path: Path) -> None:
    token = add_key(path, "somebody", Scope.READ)

    messages: list[bytes] = []

    async def nothing() -> AsyncIterator[bytes]:
        for message in messages:
            yield message

    async with gateway(store=Fake(), api_keys_file=path, default_deadline_seconds=0.2) as rig:
        begin: Any = rig.channel.stream_unary("/trimem.store.v1.EventService/GetEvent")
        assert await code(begin(nothing(), metadata=metadata(token))) is grpc.StatusCode.INVALID_ARGUMENT

        async def late() -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

        assert await code(begin(late(), metadata=metadata(token))) is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_health_and_reflection_need_no_key(rig: Rig) -> None:
    health = await health_pb2_grpc.HealthStub(rig.channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(rig.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (listed,) = [each async for each in stub.ServerReflectionInfo([request], timeout=PATIENCE)]
    assert "trimem.store.v1.EventService" in {each.name for each in listed.list_services_response.service}
    assert await http(rig, "GET", "/health") == 200


async def test_without_a_file_of_keys_anybody_may_call_and_the_log_says_so(log: list[Any]) -> None:
    async with gateway(store=Fake()) as rig:
        assert await code(rig.events.GetEvent(GET, timeout=PATIENCE)) is grpc.StatusCode.OK
        assert await http(rig, "GET", "/v1/events/x") == 200
        assert await http(rig, "GET", "/metrics", headers=bearer("sk-1234567890")) == 200

    (warning,) = [line for line in log if line["log_level"] == "warning"]
    assert warning["event"].startswith("API_KEYS_FILE is not set: anybody")


def test_production_needs_a_file_of_keys() -> None:
    with pytest.raises(ValueError, match="API_KEYS_FILE is required"):
        settings(environment="production")
    assert settings(environment="production", api_keys_file="keys.json").api_keys_file == Path("keys.json")
