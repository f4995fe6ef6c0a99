"""EmbeddingService over gRPC."""

import asyncio
import threading
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
import pytest_asyncio

from embedder.domain import Domain
from embedder.models.catalogue import ModelProfile
from embedder.models.errors import ModelUnreachableError
from embedder.models.model import Loaded
from embedder.vectors import read
from servicekit.status import reason_of, status_of
from tests.fixtures_embedder import (
    PATIENCE,
    Running,
    ScriptedEngine,
    loaded,
    mock_models,
    model_of,
    models_of,
    serving,
)
from trimem.embedding.v1 import embedding_pb2 as pb

A = pb.SimilarityInput(text="a")


@pytest_asyncio.fixture
async def embedder() -> AsyncIterator[Running]:
    async with serving(mock_models(profiles={Domain.TEXT: ModelProfile(shortest=16)})) as running:
        yield running


async def test_embed_answers_in_input_order_with_unit_vectors(embedder: Running) -> None:
    texts = ["one", "two words", "a third text"]
    response = await embedder.stub.Embed(pb.EmbedRequest(inputs=texts), timeout=PATIENCE)
    assert [embedding.token_count for embedding in response.embeddings] == [1, 2, 3]
    for text, embedding in zip(texts, response.embeddings, strict=True):
        assert not embedding.HasField("code")
        assert (embedding.truncated, embedding.cached) == (False, False)
        assert np.linalg.norm(read(embedding.text)) == pytest.approx(1)
        alone = await embedder.stub.Embed(pb.EmbedRequest(inputs=[text]), timeout=PATIENCE)
        assert alone.embeddings[0] == embedding
    (model,) = response.models
    assert (model.domain, model.dimension, model.state) == (pb.DOMAIN_TEXT, 64, pb.MODEL_STATE_READY)
    assert len(model.fingerprint) == 64


@pytest.mark.parametrize(
    ("domain", "has_text", "has_code"),
    [
        (pb.DOMAIN_UNSPECIFIED, True, False),
        (pb.DOMAIN_TEXT, True, False),
        (pb.DOMAIN_CODE, False, True),
        (pb.DOMAIN_HYBRID, True, True),
    ],
)
async def test_the_domain_decides_which_vectors_are_set(
    embedder: Running, domain: pb.Domain.ValueType, has_text: bool, has_code: bool
) -> None:
    response = await embedder.stub.Embed(pb.EmbedRequest(inputs=["hello"], domain=domain), timeout=PATIENCE)
    (embedding,) = response.embeddings
    assert (embedding.HasField("text"), embedding.HasField("code")) == (has_text, has_code)
    assert len(response.models) == has_text + has_code


async def test_a_shortened_vector_is_described_as_such(embedder: Running) -> None:
    response = await embedder.stub.Embed(pb.EmbedRequest(inputs=["hello"], dimensions=16), timeout=PATIENCE)
    assert len(response.embeddings[0].text.values) == 16
    assert response.models[0].dimension == 16


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.EmbedRequest(), "inputs"),
        (pb.EmbedRequest(inputs=["a", "  "]), "inputs[1]"),
        (pb.EmbedRequest(inputs=["a"], domain=99), "domain"),  # type: ignore[arg-type]
        (pb.EmbedRequest(inputs=["a"], kind=99), "kind"),  # type: ignore[arg-type]
        (pb.EmbedRequest(inputs=["a"], dimensions=3), "dimensions"),
        (pb.EmbedRequest(inputs=["a", "b " * 600], reject_truncation=True), "inputs[1]"),
    ],
    ids=["no inputs", "blank", "domain", "kind", "dimensions", "too long"],
)
async def test_bad_requests_name_the_field(embedder: Running, request_: pb.EmbedRequest, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await embedder.stub.Embed(request_, timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(status_of(caught.value).details)
    assert (caught.value.details() or "").startswith(f"{field}: ")


async def test_similarity_compares_texts_and_vectors(embedder: Running) -> None:
    async def compare(first: pb.SimilarityInput, second: pb.SimilarityInput) -> pb.ComputeSimilarityResponse:
        request = pb.ComputeSimilarityRequest(first=first, second=second)
        return await embedder.stub.ComputeSimilarity(request, timeout=PATIENCE)

    hello = pb.SimilarityInput(text="hello world")
    same = await compare(hello, hello)
    assert same.cosine == pytest.approx(1)
    assert same.score == pytest.approx(1)
    embedded = await embedder.stub.Embed(pb.EmbedRequest(inputs=["hello world"]), timeout=PATIENCE)
    assert (await compare(hello, pb.SimilarityInput(vector=embedded.embeddings[0].text))).cosine == pytest.approx(1)
    opposite = pb.Vector(values=[-value for value in embedded.embeddings[0].text.values])
    assert (await compare(hello, pb.SimilarityInput(vector=opposite))).score == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ComputeSimilarityRequest(), "first"),
        (pb.ComputeSimilarityRequest(first=A), "second"),
        (pb.ComputeSimilarityRequest(first=A, second=pb.SimilarityInput(vector=pb.Vector())), "second.vector.values"),
        (pb.ComputeSimilarityRequest(first=A, second=A, domain=pb.DOMAIN_HYBRID), "domain"),
    ],
    ids=["nothing", "one side", "empty vector", "hybrid"],
)
async def test_bad_comparisons_name_the_field(
    embedder: Running, request_: pb.ComputeSimilarityRequest, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await embedder.stub.ComputeSimilarity(request_, timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith(f"{field}: ")


async def test_listing_models_loads_none(embedder: Running) -> None:
    async def listed() -> list[tuple[int, int, str]]:
        response = await embedder.stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)
        assert response.rss_bytes == 12_345
        return [(model.domain, model.state, model.fingerprint) for model in response.models]

    unloaded = (pb.MODEL_STATE_UNLOADED, "")
    assert await listed() == [(pb.DOMAIN_TEXT, *unloaded), (pb.DOMAIN_CODE, *unloaded)]
    embedded = await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"], domain=pb.DOMAIN_CODE), timeout=PATIENCE)
    ready = (pb.MODEL_STATE_READY, embedded.models[0].fingerprint)
    assert await listed() == [(pb.DOMAIN_TEXT, *unloaded), (pb.DOMAIN_CODE, *ready)]


async def test_others_are_served_while_a_model_loads() -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> Loaded:
        begun.set()
        assert go.wait(PATIENCE)
        return loaded(ScriptedEngine())

    async with serving(models_of(model_of(slow), model_of(lambda: loaded(ScriptedEngine())))) as embedder:
        waiting = asyncio.ensure_future(embedder.stub.Embed(pb.EmbedRequest(inputs=["a"]), timeout=PATIENCE))
        try:
            assert await asyncio.to_thread(begun.wait, PATIENCE)
            response = await embedder.stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)
            assert response.models[0].state == pb.MODEL_STATE_LOADING
            await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"], domain=pb.DOMAIN_CODE), timeout=PATIENCE)
        finally:
            go.set()
        assert len((await waiting).embeddings) == 1


async def test_a_model_that_cannot_be_fetched_is_unavailable_until_it_can() -> None:
    outcomes = [ModelUnreachableError("the hub is away")] * 8

    def load() -> Loaded:
        if outcomes:
            raise outcomes.pop()
        return loaded(ScriptedEngine())

    model = model_of(load)
    async with serving(models_of(model, model)) as embedder:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"]), timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason_of(caught.value) == "MODEL_UNREACHABLE"
        response = await embedder.stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)
        assert response.models[0].state == pb.MODEL_STATE_FAILED
        outcomes.clear()
        await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"]), timeout=PATIENCE)


async def test_work_is_counted_by_domain(embedder: Running) -> None:
    await embedder.stub.Embed(pb.EmbedRequest(inputs=["one", "two words"], domain=pb.DOMAIN_CODE), timeout=PATIENCE)
    sample = embedder.registry.get_sample_value
    assert sample("trimem_embed_inputs_total", {"domain": "code"}) == 2
    assert sample("trimem_embed_tokens_total", {"domain": "code"}) == 3
    assert sample("trimem_encode_seconds_count", {"domain": "code"}) == 1
    assert sample("trimem_model_state", {"domain": "code", "state": "ready"}) == 1
    assert sample("trimem_model_state", {"domain": "text", "state": "ready"}) == 0
    assert sample("trimem_model_state", {"domain": "text", "state": "unloaded"}) == 1
