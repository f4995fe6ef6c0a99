"""Clients that share no code with Trimem, against the whole stack: curl, gRPC for Node.js, and the `openai` package.

`buf curl` is in test_api.py, the command line in a file of its own.
"""

import asyncio
import json
import shutil
import sysconfig
import uuid
from pathlib import Path
from typing import Any

import openai
import pytest

from deploy.local.stack import Stack

NODE_FILES = ("package.json", "package-lock.json", "client.mjs")
NODE_FOLDER = Path(__file__).with_name("node")


async def run(*command: str, cwd: Path | None = None) -> str:
    """What a program prints."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, problems = await process.communicate()
    assert process.returncode == 0, f"{command[0]} ended with {process.returncode}: {problems.decode()}"
    return output.decode()


@pytest.fixture(scope="module")
def curl() -> str:
    found = shutil.which("curl")
    if found is None:
        pytest.skip("there is no curl on this machine")
    return found


async def test_curl_stores_searches_changes_and_deletes_over_http(curl: str, stack: Stack) -> None:
    base = f"http://{stack.address('GATEWAY_HTTP_PORT')}"
    topic = uuid.uuid4().hex

    async def ask(method: str, path: str, body: object = None) -> tuple[int, Any]:
        content = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body is not None else []
        printed = await run(curl, "-sS", "-X", method, *content, "-w", "\n%{http_code}", f"{base}{path}")
        text, _, status = printed.rpartition("\n")
        return int(status), json.loads(text)

    body = {"content": {"text": "The train to Graz leaves at nine."}, "metadata": {"topic": topic}}
    status, created = await ask("POST", "/v1/events", body)
    assert (status, created["embedding_state"]) == (200, "EMBEDDING_STATE_EMBEDDED")

    search = {"query": "when can I travel by rail?", "metadata_filter": {"topic": topic}}
    status, found = await ask("POST", "/v1/search", search)
    assert (status, [hit["event"]["id"] for hit in found["hits"]]) == (200, [created["id"]])

    change = {"content": {"text": "The train to Graz leaves at ten."}}
    status, changed = await ask("PATCH", f"/v1/events/{created['id']}", change)
    assert (status, changed["content"]) == (200, change["content"])

    assert await ask("DELETE", f"/v1/events/{created['id']}") == (200, {})
    status, error = await ask("GET", f"/v1/events/{created['id']}")
    assert (status, error["code"]) == (404, 5)

    status, error = await ask("GET", "/v1/search?page_size=-1")
    assert (status, error["code"]) == (400, 3)
    assert (await ask("GET", "/health"))[1]["services"] == {"embedder": "up", "store": "up"}


async def test_the_openai_package_compares_what_the_real_model_makes(stack: Stack) -> None:
    inputs = ["The cat sleeps in the sun.", "A kitten naps on the warm window sill.", "SELECT count(*) FROM invoices"]
    base = f"http://{stack.address('GATEWAY_HTTP_PORT')}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:
        answer = await client.embeddings.create(model="text", input=inputs)
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="nobody/nothing", input="tea")

    cat, kitten, invoices = (each.embedding for each in answer.data)
    assert len(cat) == 384
    assert dot(cat, cat) == pytest.approx(1, abs=1e-3)
    assert dot(cat, kitten) > dot(cat, invoices) + 0.2
    assert answer.usage.total_tokens > len(inputs)


def dot(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("there is no Node.js on this machine")
    return found


async def test_a_grpc_client_in_node_makes_calls_of_all_kinds(
    node: str, stack: Stack, root: Path, tmp_path: Path
) -> None:
    for name in NODE_FILES:
        shutil.copy(NODE_FOLDER / name, tmp_path)
    npm = shutil.which("npm")
    assert npm is not None, "Node.js came without npm"
    await run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", cwd=tmp_path)

    includes = [str(root / "protos"), sysconfig.get_path("purelib")]
    topic = uuid.uuid4().hex
    printed = await run(node, "client.mjs", stack.address("GATEWAY_PORT"), topic, *includes, cwd=tmp_path)
    report = json.loads(printed)

    assert report["created"]["embeddingState"] == "EMBEDDING_STATE_EMBEDDED"
    assert [hit["event"]["id"] for hit in report["found"]["hits"]] == [report["created"]["id"]]
    assert [len(report["embedded"]["embeddings"][0][name]["values"]) for name in ("text", "code")] == [384, 384]
    first, refused, last = report["conversation"]
    assert (first, last) == (384, 384)
    assert refused.startswith("input")
    assert int(report["imported"]["settledCount"]) == 3
    assert report["missing"]["code"] == 5
    assert report["missing"]["trailers"]["x-request-id"] == "from-node"
    assert report["hidden"] == 12


def test_the_lock_file_names_no_host() -> None:
    assert "://" not in (NODE_FOLDER / "package-lock.json").read_text()
