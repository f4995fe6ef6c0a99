"""EmbedStream over gRPC: order, bad inputs, flow control, and callers that leave."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest_asyncio

from embedder.domain import Domain
from embedder.models.catalogue import ModelProfile
from embedder.models.runtime import QueueLimits
from embedder.streaming import WINDOW
from embedder.vectors import read
from tests.fixtures_embedder import (
    PATIENCE,
    Running,
    ScriptedEngine,
    loaded,
    mock_models,
    model_of,
    models_of,
    runtime,
    serving,
)
from trimem.embedding.v1 import embedding_pb2 as pb


@pytest_asyncio.fixture
async def embedder() -> AsyncIterator[Running]:
    async with serving(mock_models(profiles={Domain.TEXT: ModelProfile(shortest=16)})) as running:
        yield running


async def answers(embedder: Running, *requests: pb.EmbedStreamRequest) -> list[pb.EmbedStreamResponse]:
    return [response async for response in embedder.stub.EmbedStream(iter(requests), timeout=PATIENCE)]


async def test_answers_come_in_the_order_of_the_requests(embedder: Running) -> None:
    texts = [f"text {'word ' * (number % 17)} {number}" for number in range(3 * WINDOW)]
    responses = await answers(
        embedder, *(pb.EmbedStreamRequest(id=str(number), input=text) for number, text in enumerate(texts))
    )
    assert [response.id for response in responses] == [str(number) for number in range(len(texts))]
    embedded = await embedder.stub.Embed(pb.EmbedRequest(inputs=texts), timeout=PATIENCE)
    for response, alone in zip(responses, embedded.embeddings, strict=True):
        np.testing.assert_allclose(read(response.embedding.text), read(alone.text), atol=1e-6)
        assert response.embedding.token_count == alone.token_count


async def test_a_bad_input_fails_alone(embedder: Running) -> None:
    responses = await answers(
        embedder,
        pb.EmbedStreamRequest(id="good", input="a"),
        pb.EmbedStreamRequest(id="blank", input=" "),
        pb.EmbedStreamRequest(id="odd", input="a", dimensions=3),
        pb.EmbedStreamRequest(id="unknown", input="a", domain=99),  # type: ignore[arg-type]
        pb.EmbedStreamRequest(id="long", input="word " * 600, reject_truncation=True),
        pb.EmbedStreamRequest(id="i" * 300, input="a"),
        pb.EmbedStreamRequest(id="also good", input="b"),
    )
    assert [response.WhichOneof("result") for response in responses] == ["embedding", *["error"] * 5, "embedding"]
    errors = [response.error for response in responses[1:6]]
    assert {error.code for error in errors} == {grpc.StatusCode.INVALID_ARGUMENT.value[0]}
    named = [error.message.partition(":")[0] for error in errors]
    assert named == ["input", "dimensions", "domain", "input", "id"]
    assert len(responses[5].id) == 256


async def test_the_model_is_told_once_and_again_when_the_vectors_are_others(embedder: Running) -> None:
    request = pb.EmbedStreamRequest
    responses = await answers(
        embedder,
        request(input="a"),
        request(input="b"),
        request(input="c", dimensions=16),
        request(input="d", domain=pb.DOMAIN_HYBRID),
        request(input="e", domain=pb.DOMAIN_CODE),
    )
    told = [[(model.domain, model.dimension) for model in response.models] for response in responses]
    text, code = pb.DOMAIN_TEXT, pb.DOMAIN_CODE
    assert told == [[(text, 64)], [], [(text, 16)], [(text, 64), (code, 64)], []]


async def test_an_empty_stream_is_answered_by_an_empty_stream(embedder: Running) -> None:
    assert await answers(embedder) == []


async def test_a_stream_reads_no_further_ahead_than_its_window_and_waits_for_a_full_queue() -> None:
    engine = ScriptedEngine()
    engine.go.clear()
    model = model_of(lambda: loaded(engine), shared=runtime(QueueLimits(max_items=10)))
    async with serving(models_of(model, model)) as embedder:
        sent = 0

        async def requests() -> AsyncIterator[pb.EmbedStreamRequest]:
            nonlocal sent
            for number in range(20_000):
                sent += 1
                yield pb.EmbedStreamRequest(id=str(number), input=f"{'a ' * 10_000}{number}")

        call = embedder.stub.EmbedStream(requests(), timeout=PATIENCE)
        assert await asyncio.to_thread(engine.busy.wait, PATIENCE)
        before = -1
        while before != sent:  # until flow control holds the client back
            before = sent
            await asyncio.sleep(0.2)
        encoder = model.encoder
        assert encoder is not None
        assert encoder.batcher.items <= 10
        assert sent < 20_000
        engine.go.set()
        first = await call.read()
        assert isinstance(first, pb.EmbedStreamResponse)
        assert first.id == "0"
        call.cancel()


async def test_what_a_caller_who_leaves_has_asked_for_is_dropped() -> None:
    engine = ScriptedEngine()
    engine.go.clear()
    model = model_of(lambda: loaded(engine))
    async with serving(models_of(model, model)) as embedder:
        call = embedder.stub.EmbedStream(
            (pb.EmbedStreamRequest(input="a " * number) for number in range(1, 8)), timeout=PATIENCE
        )
        assert await asyncio.to_thread(engine.busy.wait, PATIENCE)
        encoder = model.encoder
        assert encoder is not None
        async with asyncio.timeout(PATIENCE):
            while encoder.batcher.items < 7:
                await asyncio.sleep(0.01)
            call.cancel()
            while encoder.batcher.waiting_tokens:
                await asyncio.sleep(0.01)
        engine.go.set()
        async with asyncio.timeout(PATIENCE):
            while encoder.batcher.items:
                await asyncio.sleep(0.01)
        assert len(engine.batches) == 1  # what ran already
        await embedder.stub.Embed(pb.EmbedRequest(inputs=["a"]), timeout=PATIENCE)
