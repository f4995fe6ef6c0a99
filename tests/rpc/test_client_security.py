"""Both clients over TLS, with and without certificates of their own, and with keys."""

from pathlib import Path
from typing import Any

import pytest

from gateway.auth.scopes import Scope
from tests.fixtures_client import Caller, caller
from tests.fixtures_gateway import Fake, gateway
from tests.fixtures_keys import add_key
from tests.fixtures_tls import Authority
from trimem.client import (
    PermissionDeniedError,
    ResourceExhaustedError,
    RetryPolicy,
    UnauthenticatedError,
    UnavailableError,
)

pytestmark = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "ours")


async def test_a_client_knows_the_gateway_by_its_certificate(kind: str, ours: Authority, tmp_path: Path) -> None:
    pair, theirs = ours.issue("server"), Authority.make(tmp_path, "theirs")
    async with gateway(store=Fake(), tls_cert_file=pair.certificate, tls_key_file=pair.key) as rig:
        target = f"127.0.0.1:{rig.grpc_port}"
        async with caller(kind, f"https://{target}", ca_file=ours.file) as call:
            await call("get", "e1")
        for options in ({"ca_file": theirs.file}, {}):
            async with caller(kind, target, **options) as call:
                with pytest.raises(UnavailableError):
                    await call("get", "e1")


async def test_a_client_shows_its_certificate(kind: str, ours: Authority) -> None:
    pair, shown = ours.issue("server"), ours.issue("client")
    files: dict[str, Any] = {
        "tls_cert_file": pair.certificate,
        "tls_key_file": pair.key,
        "tls_client_ca_file": ours.file,
    }
    async with gateway(store=Fake(), **files) as rig:
        target = f"127.0.0.1:{rig.grpc_port}"
        async with caller(kind, target, ca_file=ours.file, cert_file=shown.certificate, key_file=shown.key) as call:
            await call("get", "e1")
        async with caller(kind, target, ca_file=ours.file) as call:
            with pytest.raises(UnavailableError):
                await call("get", "e1")


async def test_a_key_opens_what_its_scopes_allow(kind: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    reader = add_key(keys, "reader", Scope.READ)
    async with gateway(store=Fake(), api_keys_file=keys) as rig:
        target = f"127.0.0.1:{rig.grpc_port}"
        async with caller(kind, target, api_key=reader) as call:
            await call("get", "e1")
            with pytest.raises(PermissionDeniedError):
                await call("delete", "e1")
        async with caller(kind, target) as call:
            with pytest.raises(UnauthenticatedError):
                await call("get", "e1")
            await call("health")


async def test_a_limit_is_waited_for_or_told(kind: str) -> None:
    patient = RetryPolicy(attempts=50)
    async with (
        gateway(store=Fake(), rate_limit_requests_per_second=20, rate_limit_burst=1) as quick,
        gateway(store=Fake(), rate_limit_requests_per_second=0.01, rate_limit_burst=1) as slow,
        caller(kind, f"127.0.0.1:{quick.grpc_port}", retry=patient) as call,
        caller(kind, f"127.0.0.1:{slow.grpc_port}", retry=patient) as refused,
    ):
        await get_thrice(call)
        with pytest.raises(ResourceExhaustedError) as raised:
            await get_thrice(refused)
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 30, "beyond the timeout of the call: not waited for"


async def get_thrice(call: Caller) -> None:
    for _ in range(3):
        await call("get", "e1")
