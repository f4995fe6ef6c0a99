"""The whole stack with mutual TLS on every port, and certificates that are renewed while it runs."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.stack_process import stack_process
from tests.fixtures_store_process import free_port
from tests.fixtures_tls import Authority, Pair
from tests.rpc.test_servicekit_tls import lines, shown_by

PORTS = (
    "GATEWAY_PORT",
    "GATEWAY_HTTP_PORT",
    "EMBEDDER_PORT",
    "STORE_PORT",
    "EMBEDDER_METRICS_PORT",
    "STORE_METRICS_PORT",
)
HTTP = ("GATEWAY_HTTP_PORT", "EMBEDDER_METRICS_PORT", "STORE_METRICS_PORT")


async def ask(method: str, port: int, path: str, authority: Authority, shown: Pair, **options: Any) -> str:
    """The body of a 200 over a new connection with TLS."""
    context = ssl.create_default_context(cafile=authority.file)
    context.load_cert_chain(shown.certificate, shown.key)
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, f"https://127.0.0.1:{port}{path}", ssl=context, **options) as response,
    ):
        assert response.status == 200
        return await response.text()


async def test_everything_speaks_mutual_tls_and_goes_on_with_renewed_certificates(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path, "ours")
    pair = authority.issue("services")
    ports = {name: free_port() for name in PORTS}
    variables = {
        "TLS_CERT_FILE": pair.certificate,
        "TLS_KEY_FILE": pair.key,
        "TLS_CLIENT_CA_FILE": authority.file,
        "CHANNEL_TLS": "true",
        "CHANNEL_CA_FILE": authority.file,
        "CHANNEL_CERT_FILE": pair.certificate,
        "CHANNEL_KEY_FILE": pair.key,
        **ports,
    }
    async with stack_process(
        "up", tmp_path / "data", **{name: str(value) for name, value in variables.items()}
    ) as stack:
        await stack.until_printed("gateway is ready")
        reading = asyncio.create_task(stack.until_ended(timeout=170))  # else its output would fill the pipe
        door = ports["GATEWAY_HTTP_PORT"]

        async def remember_and_search(word: str) -> None:
            stored = await ask(
                "POST", door, "/v1/events", authority, pair, json={"content": {"text": f"a story about {word}"}}
            )
            assert "EMBEDDING_STATE_EMBEDDED" in stored
            found = await ask("POST", door, "/v1/search", authority, pair, json={"query": word})
            assert f"a story about {word}" in found

        await remember_and_search("boats")
        for name in ("EMBEDDER_METRICS_PORT", "STORE_METRICS_PORT"):
            assert "process_resident_memory_bytes" in await ask("GET", ports[name], "/metrics", authority, pair)
        async with aiohttp.ClientSession() as plain:
            for name in HTTP:
                with pytest.raises(aiohttp.ClientError):
                    await plain.get(f"http://127.0.0.1:{ports[name]}/metrics")

        renewed = pair.renew(authority.ca)
        for name in PORTS:
            assert lines(await shown_by(ports[name], "http/1.1" if name in HTTP else "h2")) == lines(renewed)
        await asyncio.sleep(1.1)  # channels look once a second
        await remember_and_search("trains")
        stack.process.terminate()
        assert await reading == 0
