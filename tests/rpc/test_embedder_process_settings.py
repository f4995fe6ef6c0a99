"""What settings of `python -m embedder` do to the process, as its clients see it."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from embedder.domain import Domain
from embedder.models.model import Loaded, Model
from embedder.models.registry import Models
from embedder.vectors import read
from servicekit.status import reason_of
from tests.fixtures_embedder import PACKAGE, ScriptedEngine, loaded, model_of, serving
from tests.rpc.test_embedder_process import MINILM, MOCK, NOT_SERVING, PATIENCE, SERVING, Embedder, started
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc
from trimem.embedding.v1 import model_admin_pb2 as admin
from trimem.embedding.v1 import model_admin_pb2_grpc as admin_rpc

SERVICE = "trimem.embedding.v1.EmbeddingService"


@dataclass(frozen=True)
class Served:
    """A process that listens, and clients for it."""

    process: Embedder
    metrics_url: str
    stub: "rpc.EmbeddingServiceAsyncStub"  # names for type checkers only
    admin: "admin_rpc.ModelAdminServiceAsyncStub"
    health: "health_pb2_grpc.HealthStub"

    async def text_model(self) -> pb.ModelInfo:
        """The model of TEXT as the process describes it."""
        return (await self.stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)).models[0]

    async def embed(self, text: str) -> pb.EmbedResponse:
        """Ask for one vector of the TEXT model."""
        return await self.stub.Embed(pb.EmbedRequest(inputs=[text]), timeout=PATIENCE)


@asynccontextmanager
async def served(directory: Path, **variables: str) -> AsyncIterator[Served]:
    """Start a process, and end it as an operator does."""
    async with started(directory, **variables) as process:
        exporting = await process.until("exporting")
        address = (await process.until("listening"))["address"]
        async with grpc.aio.insecure_channel(address) as channel:
            stub: rpc.EmbeddingServiceAsyncStub = rpc.EmbeddingServiceStub(channel)
            admin_stub: admin_rpc.ModelAdminServiceAsyncStub = admin_rpc.ModelAdminServiceStub(channel)
            url = f"http://{exporting['address']}/metrics"
            yield Served(process, url, stub, admin_stub, health_pb2_grpc.HealthStub(channel))
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0


def samples(url: str) -> dict[tuple[str, ...], float]:
    """Values of metrics by their name and labels."""
    text = urlopen(url, timeout=PATIENCE).read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_health_of_each_model_becomes_serving(tmp_path: Path) -> None:
    async with served(tmp_path, **MOCK) as embedder:
        for name in (f"{SERVICE}/TEXT", f"{SERVICE}/CODE", SERVICE, ""):
            watch = embedder.health.Watch(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE)
            seen = []
            async for state in watch:
                seen.append(state.status)
                if state.status != NOT_SERVING:
                    break
            watch.cancel()
            assert seen[-1] == SERVING, name  # and not SERVICE_UNKNOWN
        assert (await embedder.text_model()).state == pb.MODEL_STATE_READY
        unknown = health_pb2.HealthCheckRequest(service=f"{SERVICE}/HYBRID")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder.health.Check(unknown, timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_metrics_of_the_process_count_what_its_clients_ask(tmp_path: Path) -> None:
    async with served(tmp_path, **MOCK, EMBEDDING_CACHE_SIZE="1") as embedder:
        await embedder.process.until("model ready")
        for text in ("one two three", "one two three", "other"):
            await embedder.embed(text)
        async with asyncio.timeout(PATIENCE):  # a batch is counted beside its answer
            while (read_back := await asyncio.to_thread(samples, embedder.metrics_url)).get(
                ("trimem_batch_inputs_count", PACKAGE)
            ) != 2:
                await asyncio.sleep(0.01)
        expected = {
            ("trimem_embed_inputs_total", "text"): 3,
            ("trimem_embed_cached_inputs_total", "text"): 1,
            ("trimem_embed_tokens_total", "text"): 7,
            ("trimem_encode_seconds_count", "text"): 3,
            ("trimem_batch_tokens_total", PACKAGE): 4,
            ("trimem_cache_entries",): 1,
            ("trimem_model_state", "text", "ready"): 1,
            ("trimem_model_state", "code", "unloaded"): 0,
            ("trimem_queue_inputs", "text"): 0,
        }
        assert {key: read_back.get(key) for key in expected} == expected
        assert read_back["trimem_cache_bytes",] > 4 * 384
        assert read_back["trimem_rss_bytes",] > 10e6


async def test_an_idle_model_is_unloaded_and_the_next_call_loads_it_again(tmp_path: Path) -> None:
    async with served(tmp_path, **MOCK, EMBEDDING_IDLE_UNLOAD_SECONDS="0.1") as embedder:
        await embedder.process.until("model ready")
        before = await embedder.embed("hello")
        async with asyncio.timeout(PATIENCE):
            while (await embedder.text_model()).state != pb.MODEL_STATE_UNLOADED:
                await asyncio.sleep(0.05)
        await embedder.process.until("model unloaded")
        after = await embedder.embed("hello there")
        await embedder.process.until("model ready")
        assert after.models[0].fingerprint == before.models[0].fingerprint != ""
        status = await embedder.health.Check(health_pb2.HealthCheckRequest(service=f"{SERVICE}/TEXT"), timeout=PATIENCE)
        assert status.status == SERVING  # whether it is in memory or not


async def test_a_model_that_breaks_the_memory_budget_is_refused_on_demand(tmp_path: Path) -> None:
    budget = {"EMBEDDING_MEMORY_BUDGET_MB": "64", "EMBEDDING_PRELOAD": "false"}
    async with served(tmp_path, **MINILM, **budget) as embedder:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder.admin.LoadModel(
                admin.LoadModelRequest(domain=pb.DOMAIN_TEXT), timeout=PATIENCE, wait_for_ready=True
            )
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(caught.value) == "MEMORY_BUDGET"
        details = caught.value.details() or ""
        assert PACKAGE in details
        assert "the budget is 64 MB (EMBEDDING_MEMORY_BUDGET_MB)" in details
        listed = await embedder.stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)
        assert listed.models[0].state == pb.MODEL_STATE_FAILED
        assert listed.memory_budget_bytes == 64 * 2**20
        # Refused before anything was read: neither torch nor weights have come into memory.
        assert listed.rss_bytes < 300e6


async def test_a_model_that_breaks_the_memory_budget_at_the_start_ends_it(tmp_path: Path) -> None:
    async with started(tmp_path, **MINILM, EMBEDDING_MEMORY_BUDGET_MB="64") as embedder:
        assert await embedder.end() == 1
        assert "raise EMBEDDING_MEMORY_BUDGET_MB" in embedder.lines[-1]
        assert "Traceback" not in "\n".join(embedder.lines)


async def test_the_catalogue_file_is_read(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(f'[models."{PACKAGE}"]\nquery_prefix = "looking for: "\nshortest = 64\n')
    async with served(tmp_path, **MOCK, EMBEDDING_CATALOGUE_FILE=str(catalogue)) as embedder:
        await embedder.process.until("model ready")
        counts = {}
        for kind in (pb.INPUT_KIND_DOCUMENT, pb.INPUT_KIND_QUERY):
            counted = await embedder.stub.CountTokens(
                pb.CountTokensRequest(inputs=["cats"], kind=kind), timeout=PATIENCE
            )
            counts[kind] = list(counted.token_counts)
        assert counts == {pb.INPUT_KIND_DOCUMENT: [1], pb.INPUT_KIND_QUERY: [4]}
        short = await embedder.stub.Embed(pb.EmbedRequest(inputs=["cats"], dimensions=64), timeout=PATIENCE)
        assert len(short.embeddings[0].text.values) == 64


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f'[models."{PACKAGE}"]\nprefix = ""', f"'{PACKAGE}' prefix: Extra inputs are not permitted"),
        ("[models", "not TOML"),
        (None, "cannot be read: No such file"),
    ],
    ids=["field", "syntax", "absent"],
)
async def test_a_broken_catalogue_file_ends_the_start_with_the_reason(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    catalogue = tmp_path / "catalogue.toml"
    if text is not None:
        catalogue.write_text(text)
    async with started(tmp_path, **MOCK, EMBEDDING_CATALOGUE_FILE=str(catalogue)) as embedder:
        assert await embedder.end() == 1
        assert f"catalogue {catalogue}: " in embedder.lines[-1]
        assert complaint in embedder.lines[-1]
        assert "Traceback" not in "\n".join(embedder.lines)


class SlowModels:
    """Makes models whose loading waits for leave."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.made: list[Model] = []

    def __call__(self, domain: Domain, *, name: str, engine: str, precision: str) -> Model:
        def load() -> Loaded:
            self.begun.set()
            assert self.go.wait(PATIENCE)
            return loaded(ScriptedEngine(), content=name)

        self.made.append(model_of(load, name))
        return self.made[-1]

    def models(self) -> Models:
        """Models that are there at once, of which others can take the place."""
        text, code = (model_of(lambda name=name: loaded(ScriptedEngine(), content=name), name) for name in ("a", "b"))  # type: ignore[misc]
        return Models({Domain.TEXT: text, Domain.CODE: code}, self)


async def test_a_dry_run_loads_the_new_model_and_changes_nothing() -> None:
    slow = SlowModels()
    slow.go.set()
    models = slow.models()
    await models.preload()
    async with serving(models) as embedder:
        before = (await embedder.stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)).models
        request = admin.SwapModelRequest(domain=pb.DOMAIN_TEXT, name="owner/new", dry_run=True)
        swapped = await embedder.admin.SwapModel(request, timeout=PATIENCE)
        assert (swapped.previous, swapped.current.name, swapped.space_changed) == (before[0], "owner/new", True)
        assert swapped.current.fingerprint not in {"", before[0].fingerprint}
        assert (await embedder.stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)).models == before
        assert slow.begun.is_set()
        assert [model.encoder for model in slow.made] == [None]  # freed again


async def test_a_second_swap_of_a_domain_is_refused_while_the_first_is_at_work() -> None:
    slow = SlowModels()
    async with serving(slow.models()) as embedder:
        request = admin.SwapModelRequest(domain=pb.DOMAIN_TEXT, name="owner/new", allow_space_change=True)
        first = asyncio.ensure_future(embedder.admin.SwapModel(request, timeout=PATIENCE))
        assert await asyncio.to_thread(slow.begun.wait, PATIENCE)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder.admin.SwapModel(request, timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.ABORTED
        assert reason_of(caught.value) == "SWAP_IN_PROGRESS"
        answer = await embedder.stub.Embed(pb.EmbedRequest(inputs=["meanwhile"]), timeout=PATIENCE)
        assert answer.models[0].name == "a"
        slow.go.set()
        assert (await first).current.name == "owner/new"
        request.name = "owner/third"
        assert (await embedder.admin.SwapModel(request, timeout=PATIENCE)).previous.name == "owner/new"


async def test_a_real_model_takes_its_own_place_in_another_precision(tmp_path: Path) -> None:
    # Without a cache, which would answer for the new model what the old one made.
    async with served(tmp_path, **MINILM, EMBEDDING_PRECISION="bf16", EMBEDDING_CACHE_SIZE="0") as embedder:
        await embedder.process.until("model ready")
        before = await embedder.embed("a cat sat on the mat")
        request = admin.SwapModelRequest(domain=pb.DOMAIN_TEXT, name=PACKAGE, precision="fp32")
        swapped = await embedder.admin.SwapModel(request, timeout=PATIENCE)
        assert (swapped.previous.precision, swapped.current.precision, swapped.space_changed) == ("bf16", "fp32", False)
        assert swapped.current.fingerprint == swapped.previous.fingerprint == before.models[0].fingerprint != ""
        assert swapped.current.weight_bytes > 1.5 * swapped.previous.weight_bytes
        text, code = (await embedder.stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)).models
        assert (text.precision, code.precision) == ("fp32", "bf16")  # CODE keeps what both had
        after = await embedder.embed("a cat sat on the mat")
        assert after.models[0].precision == "fp32"
        assert 0.999 < read(after.embeddings[0].text) @ read(before.embeddings[0].text) < 1 - 1e-7
