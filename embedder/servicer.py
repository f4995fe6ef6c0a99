"""EmbeddingService: from messages to use cases and back, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
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

    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

E = TypeVar("E", bound=Enum)

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

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:  # type: ignore[override]
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
