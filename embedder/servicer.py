"""EmbeddingService: from messages to use cases and back, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from embedder.domain import Domain, InputKind, ModelState
from embedder.embedding import EmbedCommand, Embedding, EmbedResult
from embedder.models.registry import ModelDescription, Models
from embedder.similarity import Side, Similarity
from embedder.vectors import fill, read
from servicekit.errors import InvalidArgumentError
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc

if TYPE_CHECKING:
    import grpc

    # A string outside of type checkers, because the class is generic for them only.
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")

_DOMAINS = {
    pb.DOMAIN_UNSPECIFIED: Domain.TEXT,
    pb.DOMAIN_TEXT: Domain.TEXT,
    pb.DOMAIN_CODE: Domain.CODE,
    pb.DOMAIN_HYBRID: Domain.HYBRID,
}
_KINDS = {
    pb.INPUT_KIND_UNSPECIFIED: InputKind.DOCUMENT,
    pb.INPUT_KIND_DOCUMENT: InputKind.DOCUMENT,
    pb.INPUT_KIND_QUERY: InputKind.QUERY,
}
_DOMAIN_NUMBERS = {Domain.TEXT: pb.DOMAIN_TEXT, Domain.CODE: pb.DOMAIN_CODE}
_STATE_NUMBERS = {
    ModelState.UNLOADED: pb.MODEL_STATE_UNLOADED,
    ModelState.LOADING: pb.MODEL_STATE_LOADING,
    ModelState.READY: pb.MODEL_STATE_READY,
    ModelState.FAILED: pb.MODEL_STATE_FAILED,
}


class EmbeddingServicer(rpc.EmbeddingServiceServicer):
    """The gRPC face of the embedder."""

    def __init__(
        self, embedding: Embedding, similarity: Similarity, models: Models, resident_bytes: Callable[[], int]
    ) -> None:
        """`resident_bytes` measures the memory of this process."""
        self._embedding = embedding
        self._similarity = similarity
        self._models = models
        self._resident_bytes = resident_bytes

    async def Embed(self, request: pb.EmbedRequest, _context: Context) -> pb.EmbedResponse:
        """Vectors for inputs."""
        result = await self._embedding.embed(
            EmbedCommand(
                inputs=list(request.inputs),
                domain=_known(_DOMAINS, request.domain, "domain"),
                kind=_known(_KINDS, request.kind, "kind"),
                dimensions=request.dimensions,
                reject_truncation=request.reject_truncation,
            )
        )
        return _embed_response(result, len(request.inputs))

    async def ComputeSimilarity(
        self, request: pb.ComputeSimilarityRequest, _context: Context
    ) -> pb.ComputeSimilarityResponse:
        """Cosine of two inputs."""
        result = await self._similarity.compare(
            _side(request.first), _side(request.second), _known(_DOMAINS, request.domain, "domain")
        )
        return pb.ComputeSimilarityResponse(cosine=result.cosine, score=result.score)

    async def ListModels(self, _request: pb.ListModelsRequest, _context: Context) -> pb.ListModelsResponse:
        """What is configured, and what of it is in memory."""
        return pb.ListModelsResponse(
            models=[_model_info(self._models.describe(domain)) for domain in self._models],
            rss_bytes=self._resident_bytes(),
        )


def _embed_response(result: EmbedResult, count: int) -> pb.EmbedResponse:
    response = pb.EmbedResponse(models=[_model_info(model) for model in result.models])
    text, code = result.encoded.get(Domain.TEXT), result.encoded.get(Domain.CODE)
    for index in range(count):
        embedding = response.embeddings.add(
            token_count=result.token_count(index), truncated=result.truncated(index), cached=False
        )
        if text is not None:
            fill(embedding.text, text.vectors[index])
        if code is not None:
            fill(embedding.code, code.vectors[index])
    return response


def _model_info(model: ModelDescription) -> pb.ModelInfo:
    return pb.ModelInfo(
        domain=_DOMAIN_NUMBERS[model.domain],
        name=model.name,
        revision=model.revision,
        fingerprint=model.fingerprint,
        dimension=model.dimension,
        max_tokens=model.max_tokens,
        precision=model.precision,
        engine=model.engine,
        device=model.device,
        state=_STATE_NUMBERS[model.state],
        weight_bytes=model.weight_bytes,
    )


def _side(message: pb.SimilarityInput) -> Side:
    match message.WhichOneof("input"):
        case "text":
            return message.text
        case "vector":
            return read(message.vector)
        case _:
            return None


def _known(values: Mapping[Any, T], number: int, field: str) -> T:
    # proto3 enums are open: a newer client may send a number that this version does not know.
    if number not in values:
        raise InvalidArgumentError(field, f"has no value {number}")
    return values[number]
