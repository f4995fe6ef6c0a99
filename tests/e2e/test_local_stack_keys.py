"""`make run` as production has it: nobody gets in without a key, and a key does what it is for."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.stack_process import stack_process
from tests.e2e.test_command_line import TRIMEM
from tests.fixtures_keys import bearer


async def keys(path: Path, *arguments: str) -> str:
    """Run `trimem keys` and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        TRIMEM, "keys", *arguments, "--file", str(path), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().strip()


async def test_production_lets_in_who_has_a_key_for_it(
    tmp_path: Path, new_database: Callable[[], Awaitable[str]]
) -> None:
    path = tmp_path / "keys.json"
    writer = await keys(path, "create", "writer", "--scope", "write")
    reader = await keys(path, "create", "reader", "--scope", "read", "--scope", "metrics")
    production = {
        "API_KEYS_FILE": str(path),
        "DATABASE_URL": await new_database(),
        "EMBEDDING_MODE": "real",
        "ENVIRONMENT": "production",
    }
    async with stack_process("up", tmp_path / "data", **production) as stack:
        up = await stack.until_printed("Trimem is up")
        address = next(word for word in up.split() if word.startswith("http://"))
        async with aiohttp.ClientSession(address) as client:

            async def ask(method: str, path: str, token: str = "", **body: Any) -> tuple[int, Any]:
                headers = bearer(token) if token else {}
                async with client.request(method, path, headers=headers, **body) as response:
                    return response.status, await response.json(content_type=None) if path != "/metrics" else None

            event = {"content": {"text": "The boiler was serviced on Tuesday."}}
            status, stored = await ask("POST", "/v1/events", writer, json=event)
            assert (status, stored["embedding_state"]) == (200, "EMBEDDING_STATE_EMBEDDED")
            one = f"/v1/events/{stored['id']}"

            assert await ask("GET", one, reader) == (200, stored)
            status, found = await ask("POST", "/v1/search", reader, json={"query": "when was the heating checked?"})
            assert [hit["event"]["id"] for hit in found["hits"]] == [stored["id"]]
            assert (await ask("GET", "/metrics", reader))[0] == 200

            status, refused = await ask("POST", "/v1/events", reader, json=event)
            assert (status, refused["message"]) == (403, "this needs an API key with the scope write")
            assert (await ask("DELETE", one, reader))[0] == 403
            assert (await ask("GET", one, writer))[0] == 403
            assert (await ask("GET", "/metrics", writer))[0] == 403
            assert (await ask("GET", one))[0] == 401
            assert (await ask("GET", "/health"))[0] == 200

            await keys(path, "revoke", "reader")
            async with asyncio.timeout(30):
                while (await ask("GET", one, reader))[0] != 401:
                    await asyncio.sleep(0.1)
            assert (await ask("DELETE", one, writer))[0] == 200
