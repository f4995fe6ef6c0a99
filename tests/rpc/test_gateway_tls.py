"""The gateway's doors over TLS."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fixtures_gateway import PATIENCE, gateway
from tests.fixtures_tls import Authority, Pair
from tests.rpc.test_gateway_process import outcome
from tests.rpc.test_servicekit_tls import lines, shown_by


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "ours")


async def health(port: int, authority: Authority, shown: Pair | None = None) -> int:
    """Status of GET /health over a new connection."""
    context = ssl.create_default_context(cafile=authority.file)
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as client,
        client.get(f"https://127.0.0.1:{port}/health", ssl=context) as response,
    ):
        return response.status


async def test_http_goes_over_tls_and_shows_what_is_renewed(ours: Authority) -> None:
    pair = ours.issue("server")
    async with gateway(tls_cert_file=pair.certificate, tls_key_file=pair.key) as rig:
        assert await health(rig.http_port, ours) == 503  # no backend is up
        with pytest.raises(aiohttp.ClientConnectionError):
            await rig.http.get("/health")

        assert lines(await shown_by(rig.http_port, "http/1.1")) == lines(pair.certificate.read_bytes())
        renewed = pair.renew(ours.ca)
        assert lines(await shown_by(rig.http_port, "http/1.1")) == lines(renewed)


async def test_with_mutual_tls_http_clients_must_show_a_certificate_of_ours(ours: Authority, tmp_path: Path) -> None:
    pair, theirs = ours.issue("server"), Authority.make(tmp_path, "theirs")
    files: dict[str, Any] = {
        "tls_cert_file": pair.certificate,
        "tls_key_file": pair.key,
        "tls_client_ca_file": ours.file,
    }
    async with gateway(**files) as rig:
        assert await health(rig.http_port, ours, ours.issue("client")) == 503
        for shown in (None, theirs.issue("stranger")):
            with pytest.raises(aiohttp.ClientConnectionError):
                await health(rig.http_port, ours, shown)


async def test_a_start_with_settings_that_contradict_each_other_ends_with_2(ours: Authority) -> None:
    code, _, said = await outcome(TLS_CERT_FILE=ours.issue("server").certificate)

    assert code == 2
    assert said == ["gateway: TLS_CERT_FILE is of no use without TLS_KEY_FILE"]
