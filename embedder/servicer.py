"""EmbeddingService: from messages to use cases and back, nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias

from embedder.domain import Domain
from embedder.embedding import EmbedCommand, Embedding, EmbedResult
from embedder.messages import (
    domain_of,
    fill_embedding,
    kind_of,
    model_info,
    server_timing,
    side_of,
)
from embedder.models.memory import MemoryBudget
from embedder.models.registry import ModelDescription, Models
from embedder.similarity import Similarity
from embedder.streaming import EmbeddingStream, StreamInput
from servicekit import context as call_context
from servicekit.errors import InvalidArgumentError, TrimemError
from servicekit.status import to_status
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc

if TYPE_CHECKING:
    import grpc

    # A string outside of type checkers, because the class is generic for them only.
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_MAX_ID_BYTES = 256


class EmbeddingServicer(rpc.EmbeddingServiceServicer):
    """The gRPC face of the embedder."""

    def __init__(self, embedding: Embedding, similarity: Similarity, models: Models, memory: MemoryBudget) -> None:
        """`memory` knows what this process uses, and may use."""
        self._embedding = embedding
        self._similarity = similarity
        self._stream = EmbeddingStream(embedding)
        self._models = models
        self._memory = memory

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        """Vectors for inputs."""
        result = await self._embedding.embed(
            EmbedCommand(
                inputs=list(request.inputs),
                domain=domain_of(request.domain),
                kind=kind_of(request.kind),
                dimensions=request.dimensions,
                reject_truncation=request.reject_truncation,
            )
        )
        response = pb.EmbedResponse(models=[model_info(model) for model in result.models])
        for index in range(len(request.inputs)):
            fill_embedding(response.embeddings.add(), result, index)
        _add_trailing(context, result)
        return response

    async def EmbedStream(
        self, requests: AsyncIterator[pb.EmbedStreamRequest], _context: Context
    ) -> AsyncIterator[pb.EmbedStreamResponse]:
        """Vectors for inputs as they come."""
        told: dict[Domain, ModelDescription] = {}
        # Closed one by one: what a generator is fed by is not closed with it.
        async with aclosing(_stream_inputs(requests)) as inputs, aclosing(self._stream.run(inputs)) as outputs:
            async for output in outputs:
                response = pb.EmbedStreamResponse(id=output.id)
                if isinstance(output.result, TrimemError):
                    response.error.CopyFrom(to_status(output.result, call_context.request_id.get()))
                else:
                    fill_embedding(response.embedding, output.result, 0)
                    response.models.extend(model_info(model) for model in _news(told, output.result))
                yield response

    async def CountTokens(self, request: pb.CountTokensRequest, _context: Context) -> pb.CountTokensResponse:
        """Tokens of inputs."""
        result = await self._embedding.count(list(request.inputs), domain_of(request.domain), kind_of(request.kind))
        return pb.CountTokensResponse(token_counts=result.token_counts, max_tokens=result.max_tokens)

    async def ComputeSimilarity(
        self, request: pb.ComputeSimilarityRequest, _context: Context
    ) -> pb.ComputeSimilarityResponse:
        """Cosine of two inputs."""
        result = await self._similarity.compare(
            side_of(request.first), side_of(request.second), domain_of(request.domain)
        )
        return pb.ComputeSimilarityResponse(cosine=result.cosine, score=result.score)

    async def ListModels(self, _request: pb.ListModelsRequest, _context: Context) -> pb.ListModelsResponse:
        """What is configured, and what of it is in memory."""
        return pb.ListModelsResponse(
            models=[model_info(self._models.describe(domain)) for domain in self._models],
            rss_bytes=self._memory.used(),
            memory_budget_bytes=self._memory.budget() or 0,
        )


async def _stream_inputs(requests: AsyncIterator[pb.EmbedStreamRequest]) -> AsyncGenerator[StreamInput, None]:
    async for request in requests:
        try:
            item = StreamInput(request.id, _stream_command(request))
        except InvalidArgumentError as error:
            item = StreamInput(_clipped(request.id), error)
        yield item


def _stream_command(request: pb.EmbedStreamRequest) -> EmbedCommand:
    if len(request.id.encode()) > _MAX_ID_BYTES:
        raise InvalidArgumentError("id", f"must be at most {_MAX_ID_BYTES} bytes of UTF-8")
    return EmbedCommand(
        inputs=[request.input],
        domain=domain_of(request.domain),
        kind=kind_of(request.kind),
        dimensions=request.dimensions,
        reject_truncation=request.reject_truncation,
    )


def _clipped(text: str) -> str:
    return text.encode()[:_MAX_ID_BYTES].decode(errors="ignore")


def _news(told: dict[Domain, ModelDescription], result: EmbedResult) -> list[ModelDescription]:
    """The models that the client of a stream has not heard of, or not like this."""
    news = [model for model in result.models if told.get(model.domain) != model]
    told.update({model.domain: model for model in news})
    return news


def _add_trailing(context: Context, result: EmbedResult) -> None:
    timing = server_timing(result.timings)
    if timing:
        context.set_trailing_metadata((*(context.trailing_metadata() or ()), *timing))
