"""Between messages of trimem.embedding.v1 and the words of the embedder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from embedder.domain import Domain, InputKind, ModelState
from embedder.embedding import EmbedResult
from embedder.models.encoder import Timings
from embedder.models.registry import ModelDescription
from embedder.similarity import Side
from embedder.vectors import fill, read
from servicekit.errors import InvalidArgumentError
from trimem.embedding.v1 import embedding_pb2 as pb

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


def domain_of(number: int) -> Domain:
    """The domain of a request. Raises InvalidArgumentError naming `domain`."""
    return _known(_DOMAINS, number, "domain")


def model_domain_of(number: int) -> Domain:
    """The domain whose model a request is about. Raises InvalidArgumentError unless it is TEXT or CODE."""
    for domain, known in _DOMAIN_NUMBERS.items():
        if number == known:
            return domain
    raise InvalidArgumentError("domain", "must be TEXT or CODE")


def kind_of(number: int) -> InputKind:
    """The kind of a request. Raises InvalidArgumentError naming `kind`."""
    return _known(_KINDS, number, "kind")


def fill_embedding(message: pb.Embedding, result: EmbedResult, index: int) -> None:
    """Write what became of one input into an empty message."""
    message.token_count = result.token_count(index)
    message.truncated = result.truncated(index)
    message.cached = result.cached(index)
    text, code = result.encoded.get(Domain.TEXT), result.encoded.get(Domain.CODE)
    if text is not None:
        fill(message.text, text.vectors[index])
    if code is not None:
        fill(message.code, code.vectors[index])


def model_info(model: ModelDescription) -> pb.ModelInfo:
    """A model as callers see it."""
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


def side_of(message: pb.SimilarityInput) -> Side:
    """One side of a comparison."""
    match message.WhichOneof("input"):
        case "text":
            return message.text
        case "vector":
            return read(message.vector)
        case _:
            return None


def server_timing(timings: Timings) -> tuple[tuple[str, str], ...]:
    """Trailing metadata in the form of the Server-Timing header (W3C): milliseconds for each stage that was needed."""
    stages = (("queue", timings.queue), ("tokenize", timings.tokenize), ("infer", timings.infer))
    needed = [f"{name};dur={seconds * 1000:.2f}" for name, seconds in stages if timings.infer or seconds]
    return (("server-timing", ", ".join(needed)),) if needed else ()


def _known(values: Mapping[Any, T], number: int, field: str) -> T:
    # proto3 enums are open: a newer client may send a number that this version does not know.
    if number not in values:
        raise InvalidArgumentError(field, f"has no value {number}")
    return values[number]
