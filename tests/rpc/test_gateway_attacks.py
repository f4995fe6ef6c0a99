"""Ways around the gate that people try: none gives access, and none is a fault of ours."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.auth.scopes import Scope
from tests.fixtures_gateway import PATIENCE, Rig, backend_server, gateway
from tests.fixtures_keys import add_key, metadata, revoke_key
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2

PUBLIC = {
    f"/{service.full_name}/{method.name}"
    for service in (
        event_service_pb2.DESCRIPTOR.services_by_name["EventService"],
        embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"],
    )
    for method in service.methods
}
READS = {f"/trimem.store.v1.EventService/{name}" for name in ("GetEvent", "ListEvents", "SearchEvents")}
HEALTH = "/grpc.health.v1.Health/"
ADMIN = (
    "/trimem.embedding.v1.ModelAdminService/SwapModel",
    "/trimem.embedding.v1.ModelAdminService/UnloadModel",
    "/trimem.store.v1.StoreAdminService/GetStatus",
    "/trimem.store.v1.StoreAdminService/PauseBackfill",
)

#: Answers that mean that something of ours broke.
FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}

many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Behind(grpc.GenericRpcHandler):
    """A backend that does whatever it is asked, and notes it."""

    asked: list[str] = field(default_factory=list)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if method.startswith(HEALTH):
            return None
        self.asked.append(method)

        async def answer(_request: bytes, _context: Any) -> bytes:
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@dataclass
class Target:
    """The gateway, and what got through it."""

    rig: Rig
    behind: Behind
    #: Tokens by what they are for.
    tokens: dict[str, str]

    def passed(self) -> set[str]:
        """The methods that backends were asked for since the last look."""
        found = set(self.behind.asked)
        self.behind.asked.clear()
        return found


@pytest_asyncio.fixture(scope="session")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    path: Path = tmp_path_factory.mktemp("keys") / "keys.json"
    tokens = {str(scope): add_key(path, str(scope), scope) for scope in Scope}
    tokens["all"] = add_key(path, "all", *Scope)
    tokens["revoked"] = add_key(path, "revoked", *Scope)
    revoke_key(path, "revoked")
    behind = Behind()
    async with (
        backend_server(handlers=[behind]) as (_, where),
        gateway(store_target=where, embedder_target=where, api_keys_file=path) as rig,
    ):
        yield Target(rig, behind, tokens)


async def ask(target: Target, method: bytes, path: bytes, *headers: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a request as it stands, or 0 when the connection is closed without one."""
    request = b"\r\n".join(
        [method + b" " + path + b" HTTP/1.1", b"Host: gateway", b"Connection: close", *headers, b"", _body(headers)]
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", target.rig.http_port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(request)
            answer = await reader.read()
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.") else b"0"
    return int(status), answer.partition(b"\r\n\r\n")[2]


def _body(headers: Sequence[bytes]) -> bytes:
    """The end of a body, where one was announced: else it would be waited for."""
    return b"0\r\n\r\n" if b"Transfer-Encoding: chunked" in headers else b""


def authorization(token: str) -> bytes:
    return b"Authorization: Bearer " + token.encode()


#: Ways to write a path that mean the same to some server, somewhere.
_TRICKS = [
    lambda path: path.upper(),
    lambda path: path.title(),
    lambda path: path + b"/",
    lambda path: path + b"/.",
    lambda path: path + b"/..",
    lambda path: path + b";",
    lambda path: path + b";/v1/events",
    lambda path: path + b"%00",
    lambda path: path + b"%20",
    lambda path: path + b"?",
    lambda path: path + b"#/v1/events",
    lambda path: path + b"%3f",
    lambda path: path + b".json",
    lambda path: b"/" + path,
    lambda path: b"/." + path,
    lambda path: b"/.." + path,
    lambda path: b"/health/.." + path,
    lambda path: b"/health/%2e%2e" + path,
    lambda path: b"/health/..%2f" + path[1:],
    lambda path: b"/v1/events/.." + path,
    lambda path: b"/v1/events/..%2f..%2f" + path[1:],
    lambda path: b"/v1/events/%2e%2e/%2e%2e" + path,
    lambda path: b"/openapi.json/.." + path,
    lambda path: b"/health;" + path,
    lambda path: b"/health?" + path,
    lambda path: b"/health#" + path,
    lambda path: b"/health%3f" + path,
    lambda path: b"/health%00" + path,
    lambda path: b"\\" + path[1:],
    lambda path: path.replace(b"/", b"\\"),
    lambda path: path.replace(b"/", b"//"),
    lambda path: path.replace(b"/", b"/./"),
    lambda path: path.replace(b"/", b"%2f"),
    lambda path: path.replace(b"/", b"%252f"),
    lambda path: path.replace(b"e", b"%65"),
    lambda path: path.replace(b"e", b"%45"),
    lambda path: path.replace(b"m", b"%c0%ad"),
    lambda path: path.replace(b"e", b"\xc4\x97"),
    lambda path: b"http://gateway" + path,
    lambda path: b"http://gateway:8080/health/.." + path,
    lambda path: b"http:" + path,
    lambda path: b"*" + path,
]
_PATHS = [b"/metrics", b"/v1/events", b"/v1/events/x", b"/v1/embed", b"/v1/events:batchCreate", b"/v1/embeddings"]
_METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"DeLeTe"]
_OVERRIDES = [
    b"X-HTTP-Method-Override: DELETE",
    b"X-HTTP-Method: DELETE",
    b"X-Method-Override: POST",
    b"X-Original-URL: /metrics",
    b"X-Rewrite-URL: /metrics",
    b"X-Forwarded-For: 127.0.0.1",
    b"X-Forwarded-User: admin",
    b"Forwarded: for=127.0.0.1",
    b"Upgrade: h2c",
    b"Origin: null",
    b"Access-Control-Request-Method: DELETE",
    b"Proxy-Authorization: Basic YTpi",
    b"Cookie: authorization=Bearer%20x",
    b"Transfer-Encoding: chunked",
    b"Content-Length: 0",
]


def _apply(path: bytes, tricks: Sequence[Any]) -> bytes:
    for trick in tricks:
        path = trick(path)
    return path


tricky = st.lists(st.sampled_from(_TRICKS), max_size=2)
anything = st.binary(max_size=30).map(lambda tail: b"/" + bytes(byte for byte in tail if byte > 32))
paths = st.builds(_apply, st.sampled_from(_PATHS), tricky) | anything
overrides = st.lists(st.sampled_from(_OVERRIDES), max_size=3, unique=True)


@many
@given(method=st.sampled_from(_METHODS), path=paths, headers=overrides)
@example(method=b"GET", path=b"/health/../metrics", headers=[])
@example(method=b"GET", path=b"/v1/events/x", headers=[b"X-HTTP-Method-Override: DELETE"])
async def test_without_a_key_nothing_gets_through(
    target: Target, method: bytes, path: bytes, headers: list[bytes]
) -> None:
    status, body = await ask(target, method, path, *headers)

    assert status not in {500, 501, 502}
    assert target.passed() == set()
    assert b"trimem_rpc_seconds" not in body


@many
@given(method=st.sampled_from(_METHODS), path=paths, headers=overrides)
@example(method=b"POST", path=b"/v1/events/x", headers=[b"X-HTTP-Method-Override: DELETE"])
@example(method=b"GET", path=b"/v1/events/x", headers=[b"X-HTTP-Method-Override: DELETE"])
@example(method=b"GET", path=b"/v1/events/..%2f..%2fmetrics", headers=[])
async def test_a_key_that_may_read_can_do_no_more_however_it_asks(
    target: Target, method: bytes, path: bytes, headers: list[bytes]
) -> None:
    status, body = await ask(target, method, path, authorization(target.tokens["read"]), *headers)

    assert status not in {500, 501, 502}
    assert target.passed() <= READS
    assert b"trimem_rpc_seconds" not in body


values = st.one_of(
    st.binary(max_size=100),
    st.binary(max_size=100).map(lambda token: b"Bearer " + token),
    st.text(max_size=60).map(lambda token: b"Bearer " + token.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"Basic", b"bearer", b"Bearer", b"Token", b"Digest", b""]),
).map(lambda value: value.translate(None, b"\r\n\0"))


@many
@given(sent=st.lists(values, max_size=3), place=st.integers(0, 10), repeated=st.booleans())
async def test_no_authorization_header_but_the_right_one_opens_over_http(
    target: Target, sent: list[bytes], place: int, repeated: bool
) -> None:
    """The token of a revoked key is among them, and the right one twice."""
    headers = [b"Authorization: " + value for value in sent]
    headers.insert(place % (len(headers) + 1), authorization(target.tokens["revoked"]))
    if repeated:
        headers += [authorization(target.tokens["all"])] * 2
    status, _ = await ask(target, b"GET", b"/v1/events/x", *headers)

    assert status in {400, 401}
    assert target.passed() == set()


@pytest.mark.parametrize("size", [8_000, 20_000, 1_000_000])
async def test_a_huge_authorization_header_opens_nothing(target: Target, size: int) -> None:
    status, _ = await ask(target, b"GET", b"/v1/events/x", b"Authorization: Bearer " + b"a" * size)
    assert status in {0, 400, 401, 431}

    call: Any = target.rig.channel.unary_unary("/trimem.store.v1.EventService/GetEvent")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(b"", metadata=metadata("a" * size), timeout=PATIENCE)
    assert raised.value.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert target.passed() == set()


async def answer(target: Target, method: str, sent: Sequence[tuple[str, str | bytes]]) -> grpc.StatusCode:
    call: Any = target.rig.channel.unary_unary(method)
    try:
        await call(b"", metadata=tuple(sent), timeout=PATIENCE)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


_ascii = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)


@many
@given(
    method=st.sampled_from(sorted(PUBLIC)),
    sent=st.lists(
        st.tuples(
            st.sampled_from(["authorization", "authorization", "x-authorization", "proxy-authorization", "cookie"]),
            _ascii | _ascii.map(lambda token: f"Bearer {token}"),
        )
        | st.tuples(st.just("authorization-bin"), st.binary(max_size=40)),
        max_size=4,
    ),
    revoked=st.booleans(),
)
async def test_no_metadata_but_the_right_one_opens_over_grpc(
    target: Target, method: str, sent: list[tuple[str, str | bytes]], revoked: bool
) -> None:
    if revoked:
        sent = [*sent, *metadata(target.tokens["revoked"])]

    assert await answer(target, method, sent) is grpc.StatusCode.UNAUTHENTICATED
    assert target.passed() == set()


def _odd(name: str, changes: list[tuple[int, int]], prefix: str, suffix: str) -> str:
    """A method name with some letters in the other case, others encoded, and more around it."""
    letters = list(name)
    for place, kind in changes:
        at = place % len(letters)
        letters[at] = [letters[at].swapcase(), f"%{ord(name[at]):02X}", letters[at] * 2, ""][kind]
    return prefix + "".join(letters) + suffix


@many
@given(
    name=st.sampled_from([*ADMIN, *sorted(PUBLIC)]),
    changes=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 3)), max_size=4),
    prefix=st.sampled_from(["", "/", "/trimem.store.v1.EventService/..", "/.", "/grpc.health.v1.Health/.."]),
    suffix=st.sampled_from(["", "/", " ", "?", "#", ";", "%00", "/GetEvent", "\t"]),
)
@example(name=ADMIN[0], changes=[], prefix="", suffix="")
@example(name=ADMIN[0].lower(), changes=[], prefix="", suffix="")
async def test_a_method_has_one_name_and_admin_services_have_none_here(
    target: Target, name: str, changes: list[tuple[int, int]], prefix: str, suffix: str
) -> None:
    """With a key that has every scope."""
    method = _odd(name, changes, prefix, suffix)
    code = await answer(target, method, metadata(target.tokens["all"]))

    assert code not in FAULTS
    assert target.passed() == ({method} if method in PUBLIC else set())
    if method not in PUBLIC:
        assert code is not grpc.StatusCode.OK


async def test_bytes_that_no_grpc_client_would_send_as_a_token_open_nothing_and_are_not_logged(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    token = b"Bearer trimem_\xff\xfe\x80secret-part"
    headers = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/trimem.store.v1.EventService/GetEvent",
        b":authority": b"gateway",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
        b"authorization": token,
    }
    # HPACK: literal, never indexed, not compressed.
    block = b"".join(b"\x10" + bytes([len(k)]) + k + bytes([len(v)]) + v for k, v in headers.items())
    frames = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(4, 0, 0, b"")
        + _frame(1, 4, 1, block)
        + _frame(0, 1, 1, b"\0\0\0\0\0")
    )
    with caplog.at_level(logging.DEBUG):
        port = target.rig.grpc_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(frames)
        async with asyncio.timeout(PATIENCE):
            kinds: set[int] = set()
            while not kinds & {1, 3, 7}:  # HEADERS, RST_STREAM, GOAWAY: it is answered
                head = await reader.readexactly(9)
                kinds.add(head[3])
                await reader.readexactly(int.from_bytes(head[:3]))
        writer.close()

    assert target.passed() == set()
    assert "secret-part" not in caplog.text


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
