"""The embedder, over gRPC."""

import re
from collections.abc import Sequence

import grpc
import numpy as np
from google.rpc import error_details_pb2

from servicekit import context
from servicekit.errors import DeadlineExceededError, ResourceExhaustedError, TrimemError
from servicekit.status import status_of
from store.errors import EmbedderFailedError, EmbedderUnavailableError, TextsRefusedError
from store.events import EmbeddingSpace
from store.use_cases.embedder import EmbeddedTexts, InputKind, ModelDomain
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc

_KINDS = {
    InputKind.DOCUMENT: embedding_pb2.INPUT_KIND_DOCUMENT,
    InputKind.QUERY: embedding_pb2.INPUT_KIND_QUERY,
}
_DOMAINS = {
    ModelDomain.TEXT: embedding_pb2.DOMAIN_TEXT,
    ModelDomain.CODE: embedding_pb2.DOMAIN_CODE,
}
_INDEX = re.compile(r"inputs\[(\d+)\]")

#: Share of the caller's time that embedding may take: storing the result takes some too.
_SHARE = 0.8


class GrpcEmbedder:
    """The Embedder protocol on a channel made by `servicekit.channels.open_channel`."""

    def __init__(self, channel: grpc.aio.Channel, timeout: float, domain: ModelDomain = ModelDomain.TEXT) -> None:
        """`timeout` in seconds bounds every call, and the caller's deadline does. The model of `domain` embeds."""
        self._domain = _DOMAINS[domain]
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._timeout = timeout

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """See Embedder."""
        left = context.remaining()
        timeout = self._timeout if left is None else min(self._timeout, left * _SHARE)
        request = embedding_pb2.EmbedRequest(inputs=texts, domain=self._domain, kind=_KINDS[kind])
        try:
            response = await self._stub.Embed(request, **context.outgoing(timeout))
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error
        return _read(response, len(texts), self._domain)


def _read(
    response: embedding_pb2.EmbedResponse, expected: int, domain: embedding_pb2.Domain.ValueType
) -> EmbeddedTexts:
    model = next((one for one in response.models if one.domain == domain), None)
    if model is None or not model.fingerprint or len(response.embeddings) != expected:
        raise EmbedderUnavailableError("the embedder's answer is not complete")
    found = [one.code if domain == embedding_pb2.DOMAIN_CODE else one.text for one in response.embeddings]
    vectors = [np.array(one.values, dtype=np.float32) for one in found]
    if any(len(vector) != model.dimension for vector in vectors):
        raise EmbedderUnavailableError("the embedder's vectors are not as long as it says")
    return EmbeddedTexts(vectors, EmbeddingSpace(model.name, model.revision, model.dimension, model.fingerprint))


def _translated(error: grpc.aio.AioRpcError) -> TrimemError:
    match error.code():
        case grpc.StatusCode.INVALID_ARGUMENT:
            return _refused(error)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceededError("the embedder did not answer in time")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return ResourceExhaustedError("the embedder is overloaded", retry_after=1)
        case grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN:
            return EmbedderFailedError("the embedder failed")
    return EmbedderUnavailableError("the embedder cannot be reached")


def _refused(error: grpc.aio.AioRpcError) -> TextsRefusedError:
    """Which texts the embedder complains about: violations of fields like `inputs[3]`."""
    bad_request = error_details_pb2.BadRequest()
    for detail in status_of(error).details:
        if detail.Unpack(bad_request):
            break
    found = [(_INDEX.match(one.field), one.description) for one in bad_request.field_violations]
    indexes = frozenset(int(match[1]) for match, _ in found if match is not None)
    return TextsRefusedError(indexes, found[0][1] if found else error.details() or "refused")
