"""`python -m embedder`, as an operator starts and stops it."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from embedder.vectors import read
from tests.fixtures_embedder import PACKAGE
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc

#: Guards against hanging. Importing torch takes seconds, and more on a busy machine.
PATIENCE = 120

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

MINILM = {
    "EMBEDDING_MODEL": PACKAGE,
    "CODE_EMBEDDING_MODEL": PACKAGE,
    "EMBEDDING_DIMENSION": "384",
    "CODE_EMBEDDING_DIMENSION": "384",
}
MOCK = {"EMBEDDING_MODE": "mock", **MINILM}


class Embedder:
    """A process, and what it wrote to standard error."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, event: str) -> dict[str, Any]:
        """Read the log up to an event."""
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            self.lines.append(raw.decode().rstrip())
            line: dict[str, Any] = json.loads(self.lines[-1]) if self.lines[-1].startswith("{") else {}
            if line.get("event") == event:
                return line
        raise AssertionError("\n".join(["ended before it said " + event, *self.lines]))

    async def end(self) -> int:
        """Read the rest of the log and return the exit status."""
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            self.lines.append(raw.decode().rstrip())
        return await self.process.wait()


@asynccontextmanager
async def started(directory: Path, *arguments: str, **variables: str) -> AsyncIterator[Embedder]:
    """Run `python -m embedder` on free ports with nothing but these variables."""
    ports = {"EMBEDDER_PORT": "0", "EMBEDDER_METRICS_PORT": "0", "DRAIN_DELAY_SECONDS": "0"}
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error::ResourceWarning",
        "-m",
        "embedder",
        *arguments,
        cwd=directory,  # without a `.env`
        env={**kept, **ports, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            yield Embedder(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def health(channel: grpc.aio.Channel) -> int:
    response = await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(), timeout=PATIENCE, wait_for_ready=True
    )
    return int(response.status)


async def test_it_serves_the_packaged_model_and_ends_on_sigterm(tmp_path: Path) -> None:
    async with started(tmp_path, **MINILM) as embedder:
        address = (await embedder.until("listening"))["address"]
        async with grpc.aio.insecure_channel(address) as channel:
            assert await health(channel) == NOT_SERVING  # answers while torch is on its way
            await embedder.until("model ready")
            while await health(channel) != SERVING:
                await asyncio.sleep(0.01)
            stub: rpc.EmbeddingServiceAsyncStub = rpc.EmbeddingServiceStub(channel)
            response = await stub.Embed(
                pb.EmbedRequest(inputs=["a cat sat", "a kitten was sitting", "stock markets fell"]), timeout=PATIENCE
            )
            cat, kitten, stocks = (read(embedding.text) for embedding in response.embeddings)
            assert cat @ kitten > 0.5 > cat @ stocks
            assert np.linalg.norm(cat) == pytest.approx(1)
            listed = await stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)
            assert [model.name for model in listed.models] == [PACKAGE, PACKAGE]
            assert listed.rss_bytes > listed.models[0].weight_bytes > 40e6  # 23 million, in two bytes or four
        embedder.process.send_signal(signal.SIGTERM)
        assert await embedder.end() == 0
        # Every line is ours: no progress bars, no warnings of libraries.
        assert [line for line in embedder.lines if not line.startswith("{")] == []


async def test_sigterm_while_a_model_loads_ends_it_at_once(tmp_path: Path) -> None:
    async with started(tmp_path, **MINILM) as embedder:
        await embedder.until("listening")
        embedder.process.send_signal(signal.SIGTERM)
        assert await embedder.end() == 0
        assert not any("model ready" in line for line in embedder.lines)


async def test_mock_warns_and_exports_metrics(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with started(tmp_path, **{**MOCK, "EMBEDDER_METRICS_PORT": str(port)}) as embedder:
        warning = await embedder.until("MOCK EMBEDDINGS: vectors are made of hashed words and know nothing of meaning")
        assert warning["level"] == "warning"
        await embedder.until("model ready")
        text = await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
        assert "trimem_model_state" in text
        embedder.process.send_signal(signal.SIGINT)
        assert await embedder.end() == 0


async def test_without_preload_models_are_loaded_by_the_first_call(tmp_path: Path) -> None:
    async with started(tmp_path, **MOCK, EMBEDDING_PRELOAD="false") as embedder:
        address = (await embedder.until("listening"))["address"]
        async with grpc.aio.insecure_channel(address) as channel:
            stub: rpc.EmbeddingServiceAsyncStub = rpc.EmbeddingServiceStub(channel)
            before = await stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE, wait_for_ready=True)
            assert [model.state for model in before.models] == [pb.MODEL_STATE_UNLOADED] * 2
            await stub.Embed(pb.EmbedRequest(inputs=["hello"]), timeout=PATIENCE)
            after = await stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)
            assert [model.state for model in after.models] == [pb.MODEL_STATE_READY] * 2  # one model for both
        embedder.process.send_signal(signal.SIGTERM)
        assert await embedder.end() == 0


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"EMBEDDING_DIMENSION": "384"}, "EMBEDDING_DIMENSION is 384 and CODE_EMBEDDING_DIMENSION is 768"),
        ({"EMBEDDER_PORT": "many"}, "EMBEDDER_PORT"),
        ({**MOCK, "ENVIRONMENT": "production"}, "EMBEDDING_MODE=mock is refused when ENVIRONMENT=production"),
    ],
    ids=["dimensions", "port", "mock in production"],
)
async def test_a_bad_setting_is_one_line_and_status_2(tmp_path: Path, wrong: dict[str, str], complaint: str) -> None:
    async with started(tmp_path, **wrong) as embedder:
        assert await embedder.end() == 2
        (line,) = embedder.lines
        assert complaint in line


async def test_a_model_that_does_not_load_ends_the_start_with_one_reason_and_status_1(tmp_path: Path) -> None:
    async with started(tmp_path, EMBEDDING_MODEL="package:trimem_test_absent") as embedder:
        assert await embedder.end() == 1
        assert "'package:trimem_test_absent': Python package trimem_test_absent is not installed" in embedder.lines[-1]
        assert "Traceback" not in "\n".join(embedder.lines)


async def test_help_lists_every_variable(tmp_path: Path) -> None:
    from embedder.settings import EmbedderSettings

    async with started(tmp_path, "--help") as embedder:
        out, _ = await embedder.process.communicate()
        assert [name for name in EmbedderSettings.model_fields if name.upper() not in out.decode()] == []
        assert embedder.process.returncode == 0
