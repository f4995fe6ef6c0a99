"""ModelAdminService over gRPC, and what the other service says of models, tokens, time and overload."""

import asyncio
import re

import grpc
import pytest
from google.rpc import error_details_pb2

from embedder.models.errors import ModelUnusableError
from embedder.models.memory import MemoryBudgetError
from embedder.models.model import Loaded
from embedder.models.runtime import QueueLimits
from servicekit.status import reason_of, status_of
from tests.fixtures_embedder import (
    PATIENCE,
    ScriptedEngine,
    built,
    loaded,
    mock_models,
    model_of,
    models_of,
    runtime,
    serving,
)
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import model_admin_pb2 as admin


async def test_a_model_is_loaded_and_unloaded_on_demand() -> None:
    async with serving(mock_models()) as embedder:
        for _ in range(2):  # again does nothing
            load = await embedder.admin.LoadModel(admin.LoadModelRequest(domain=pb.DOMAIN_CODE), timeout=PATIENCE)
            assert load.model.state == pb.MODEL_STATE_READY
            assert load.model.fingerprint
        for _ in range(2):
            unload = await embedder.admin.UnloadModel(admin.UnloadModelRequest(domain=pb.DOMAIN_CODE), timeout=PATIENCE)
            assert (unload.model.state, unload.model.weight_bytes) == (pb.MODEL_STATE_UNLOADED, 0)
            assert unload.model.fingerprint == load.model.fingerprint  # still known
        answer = await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"], domain=pb.DOMAIN_CODE), timeout=PATIENCE)
        assert answer.models[0].fingerprint == load.model.fingerprint


async def test_a_swap_says_whether_the_space_changed() -> None:
    async with serving(built(embedding_mode="mock")) as embedder:
        request = admin.SwapModelRequest(domain=pb.DOMAIN_TEXT, name="nomic-ai/nomic-embed-text-v1.5")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder.admin.SwapModel(request, timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason_of(caught.value) == "EMBEDDING_SPACE_CHANGE"
        request.allow_space_change = True
        swapped = await embedder.admin.SwapModel(request, timeout=PATIENCE)
        assert swapped.space_changed
        assert swapped.current.name == "nomic-ai/nomic-embed-text-v1.5"
        listed = await embedder.stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)
        assert [model.name for model in listed.models] == [swapped.current.name, swapped.previous.name]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"domain": pb.DOMAIN_HYBRID}, "domain"),
        ({}, "domain"),
        ({"domain": pb.DOMAIN_TEXT, "engine": "tensorflow"}, "engine"),
        ({"domain": pb.DOMAIN_TEXT, "precision": "fp4"}, "precision"),
        ({"domain": pb.DOMAIN_TEXT, "name": "no/such/thing"}, "name"),
        ({"domain": pb.DOMAIN_TEXT, "name": "x" * 5_000}, "name"),
        ({"domain": pb.DOMAIN_TEXT, "name": "x" * 1_000}, "name"),
    ],
)
async def test_a_swap_that_makes_no_sense_is_refused_by_field(values: dict[str, object], field: str) -> None:
    async with serving(built(embedding_mode="mock")) as embedder:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder.admin.SwapModel(admin.SwapModelRequest(**values), timeout=PATIENCE)  # type: ignore[arg-type]
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (caught.value.details() or "").startswith(field)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryBudgetError("too large"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (ModelUnusableError("broken"), grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
async def test_a_model_that_cannot_be_had_leaves_the_other_domain_alone(
    error: Exception, code: grpc.StatusCode
) -> None:
    def load() -> Loaded:
        raise error

    models = models_of(model_of(lambda: loaded(ScriptedEngine())), model_of(load))
    async with serving(models) as embedder:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"], domain=pb.DOMAIN_CODE), timeout=PATIENCE)
        assert caught.value.code() is code
        await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"]), timeout=PATIENCE)


async def test_a_full_queue_says_when_to_come_back() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine), shared=runtime(QueueLimits(max_items=1)))
    async with serving(models_of(model, model)) as embedder:
        await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"]), timeout=PATIENCE)
        engine.go.clear()
        running = asyncio.ensure_future(embedder.stub.Embed(pb.EmbedRequest(inputs=["a b"]), timeout=PATIENCE))
        assert await asyncio.to_thread(engine.busy.wait, PATIENCE)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder.stub.Embed(pb.EmbedRequest(inputs=["a b c"]), timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(caught.value) == "QUEUE_FULL"
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status_of(caught.value).details)
        assert retry.retry_delay.ToTimedelta().total_seconds() > 0
        engine.go.set()
        await running


async def test_a_call_whose_deadline_passes_in_the_queue_never_reaches_the_model() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine))
    async with serving(models_of(model, model)) as embedder:
        await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"]), timeout=PATIENCE)
        engine.go.clear()
        running = asyncio.ensure_future(embedder.stub.Embed(pb.EmbedRequest(inputs=["a b"]), timeout=PATIENCE))
        assert await asyncio.to_thread(engine.busy.wait, PATIENCE)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder.stub.Embed(pb.EmbedRequest(inputs=["a b c"]), timeout=0.1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        encoder = model.encoder
        assert encoder is not None
        async with asyncio.timeout(PATIENCE):
            while encoder.batcher.waiting_tokens:
                await asyncio.sleep(0.01)
        engine.go.set()
        await running
        assert engine.batches == [[1], [2]]


async def test_the_time_of_each_stage_is_in_the_trailing_metadata() -> None:
    model = model_of(lambda: loaded(ScriptedEngine()), shared=runtime(cache_entries=10))
    async with serving(models_of(model, model)) as embedder:
        timings = []
        for _ in range(2):
            call = embedder.stub.Embed(pb.EmbedRequest(inputs=["a"]), timeout=PATIENCE)
            response = await call
            trailing = dict(await call.trailing_metadata() or ())
            timings.append((response.embeddings[0].cached, trailing.get("server-timing")))
    (fresh, stages), (cached, nothing) = timings
    assert (fresh, cached, nothing) == (False, True, None)
    assert isinstance(stages, str)
    assert re.fullmatch(r"queue;dur=\d+\.\d\d, tokenize;dur=\d+\.\d\d, infer;dur=\d+\.\d\d", stages)


async def test_tokens_are_counted_with_prefix_and_limit() -> None:
    async with serving(mock_models()) as embedder:
        counted = await embedder.stub.CountTokens(
            pb.CountTokensRequest(inputs=["one", "two words", "word " * 1000]), timeout=PATIENCE
        )
        assert (list(counted.token_counts), counted.max_tokens) == ([1, 2, 1000], 512)
        for request, field in (
            (pb.CountTokensRequest(inputs=["a", " "]), "inputs[1]"),
            (pb.CountTokensRequest(), "inputs"),
            (pb.CountTokensRequest(inputs=["a"], domain=pb.DOMAIN_HYBRID), "domain"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await embedder.stub.CountTokens(request, timeout=PATIENCE)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert (caught.value.details() or "").startswith(f"{field}:")


async def test_equal_inputs_of_calls_at_the_same_time_cost_one_run() -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine))
    async with serving(models_of(model, model)) as embedder:
        await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"]), timeout=PATIENCE)
        engine.go.clear()
        calls = [
            asyncio.ensure_future(embedder.stub.Embed(pb.EmbedRequest(inputs=["a b"]), timeout=PATIENCE))
            for _ in range(10)
        ]
        encoder = model.encoder
        assert encoder is not None
        async with asyncio.timeout(PATIENCE):
            while encoder.batcher.items < 10:
                await asyncio.sleep(0.01)
        engine.go.set()
        first, *others = await asyncio.gather(*calls)
        assert all(other.embeddings[0] == first.embeddings[0] for other in others)
        assert engine.batches == [[1], [2]]
