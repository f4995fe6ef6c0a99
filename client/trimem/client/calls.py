"""What each method sends, how its answer is read, and what a failure means: all but the sending."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Never, TypeVar
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from trimem.client import conversion
from trimem.client.enums import number_of
from trimem.client.errors import NotFoundError, TrimemError
from trimem.client.options import EmbedOptions, FilterOptions, ListOptions, SearchOptions
from trimem.client.statuses import error_of_status
from trimem.client.structs import fill
from trimem.client.types import (
    Domain,
    Embedding,
    Event,
    InputKind,
    Json,
    ModelInfo,
    Models,
    NewEvent,
    SearchPage,
    Similarity,
    TokenCounts,
)
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

T = TypeVar("T")

#: Services of the API behind the gateway, by what its health calls them.
SERVICES = ("trimem.store.v1.EventService", "trimem.embedding.v1.EmbeddingService")

#: Events of a page of a list, of which all pages are wanted.
_LIST_PAGE = 500


def _final(error: TrimemError, _attempt: int) -> Never:
    raise error


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call, which may be made again after it failed: everything that could write twice carries a request id."""

    method: str
    #: One message, or those of a stream, any number of times; None when nothing is left to ask.
    request: Message | Iterable[Message] | None
    #: Makes the result of the answer: of one message, or of the list of those of a stream.
    read: Callable[[Any], T]
    timeout: float
    #: What a final error means after so many attempts: raises it, unless it is a result.
    settle: Callable[[TrimemError, int], T] = _final
    #: Whether a stream has one answer, in the end.
    has_one_answer: bool = False

    @property
    def is_stream(self) -> bool:
        """Whether messages go both ways."""
        return not (self.has_one_answer or self.request is None or isinstance(self.request, Message))


def create(event: NewEvent, timeout: float) -> Call[Event]:
    """CreateEvent. Without a request id it gets one, so that it may be made again."""
    if event.request_id is None:
        event = replace(event, request_id=uuid4().hex)
    request = conversion.create_request(event)
    return Call("CreateEvent", request, lambda answer: conversion.event_of(answer.event), timeout)


def get(event_id: str, timeout: float) -> Call[Event]:
    """GetEvent."""
    request = pb.GetEventRequest(id=event_id)
    return Call("GetEvent", request, lambda answer: conversion.event_of(answer.event), timeout)


def update(event_id: str, content: Json | None, metadata: Json | None, timeout: float) -> Call[Event]:
    """UpdateEvent. Made again it writes the same again."""
    request = pb.UpdateEventRequest(event=pb.Event(id=event_id), update_mask=FieldMask())
    for name, value in (("content", content), ("metadata", metadata)):
        if value is not None:
            fill(f"event.{name}", getattr(request.event, name), value)
            request.update_mask.paths.append(name)
    if not request.update_mask.paths:
        raise ValueError("there is nothing to change: give content, metadata or both")
    return Call("UpdateEvent", request, lambda answer: conversion.event_of(answer.event), timeout)


def delete(event_id: str, timeout: float) -> Call[None]:
    """DeleteEvent."""

    def gone(error: TrimemError, attempt: int) -> None:
        # The attempt before, whose answer got lost, has deleted it: that it is gone is what was asked for.
        if not (isinstance(error, NotFoundError) and attempt > 1):
            raise error

    return Call("DeleteEvent", pb.DeleteEventRequest(id=event_id), lambda _answer: None, timeout, gone)


def list_events(page_token: str, timeout: float, options: ListOptions) -> Call[tuple[list[Event], str]]:
    """One page of ListEvents, and the token of the next one."""
    request = pb.ListEventsRequest(
        page_size=options.get("page_size", _LIST_PAGE),
        page_token=page_token,
        embedding_state=number_of(pb.EmbeddingState, options.get("embedding_state")),
    )
    _add_filter(request, options)

    def read(answer: pb.ListEventsResponse) -> tuple[list[Event], str]:
        return [conversion.event_of(event) for event in answer.events], answer.next_page_token

    return Call("ListEvents", request, read, timeout)


def search(query: str, page_token: str, timeout: float, options: SearchOptions) -> Call[SearchPage]:
    """One page of SearchEvents."""
    vector, half_life = options.get("vector"), options.get("recency_half_life")
    request = pb.SearchEventsRequest(
        query=query,
        vector=None if vector is None else embedding_pb2.Vector(values=vector),
        mode=number_of(pb.SearchMode, options.get("mode")),
        min_similarity=options.get("min_similarity"),
        recency_half_life=None if half_life is None else conversion.duration_of(half_life),
        page_size=options.get("page_size", 0),
        page_token=page_token,
    )
    _add_filter(request, options)
    return Call("SearchEvents", request, conversion.search_page_of, timeout)


def embed(inputs: Sequence[str], timeout: float, options: EmbedOptions) -> Call[tuple[Embedding, ...]]:
    """Embed."""
    request = embedding_pb2.EmbedRequest(inputs=inputs, **_embed_fields(options))
    return Call("Embed", request, conversion.embeddings_of, timeout)


def embed_stream(inputs: Sequence[str], timeout: float, options: EmbedOptions) -> Call[list[Embedding | TrimemError]]:
    """EmbedStream of these inputs: for each its embedding, or why it has none."""
    fields = _embed_fields(options)
    requests = [embedding_pb2.EmbedStreamRequest(input=text, **fields) for text in inputs]
    return Call("EmbedStream", requests, _read_stream, timeout)


def similarity(
    first: str | Sequence[float], second: str | Sequence[float], domain: Domain, timeout: float
) -> Call[Similarity]:
    """ComputeSimilarity."""
    request = embedding_pb2.ComputeSimilarityRequest(
        first=conversion.similarity_input(first),
        second=conversion.similarity_input(second),
        domain=number_of(embedding_pb2.Domain, domain),
    )
    return Call(
        "ComputeSimilarity", request, lambda answer: Similarity(cosine=answer.cosine, score=answer.score), timeout
    )


def count_tokens(inputs: Sequence[str], domain: Domain, kind: InputKind, timeout: float) -> Call[TokenCounts]:
    """CountTokens."""
    request = embedding_pb2.CountTokensRequest(
        inputs=inputs, domain=number_of(embedding_pb2.Domain, domain), kind=number_of(embedding_pb2.InputKind, kind)
    )

    def read(answer: embedding_pb2.CountTokensResponse) -> TokenCounts:
        return TokenCounts(token_counts=tuple(answer.token_counts), max_tokens=answer.max_tokens)

    return Call("CountTokens", request, read, timeout)


def models(timeout: float) -> Call[Models]:
    """ListModels."""
    return Call("ListModels", embedding_pb2.ListModelsRequest(), conversion.all_models_of, timeout)


def health(service: str, timeout: float) -> Call[bool]:
    """Whether the gateway says that a service can be called; the empty name is the gateway itself."""

    def read(answer: health_pb2.HealthCheckResponse) -> bool:
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def unknown(error: TrimemError, _attempt: int) -> bool:
        if isinstance(error, NotFoundError):
            return False
        raise error

    return Call("Check", health_pb2.HealthCheckRequest(service=service), read, timeout, unknown)


def _read_stream(answers: Sequence[embedding_pb2.EmbedStreamResponse]) -> list[Embedding | TrimemError]:
    results: list[Embedding | TrimemError] = []
    made_by: tuple[ModelInfo, ...] = ()
    for answer in answers:
        if answer.models:
            made_by = conversion.models_of(answer.models)
        if answer.HasField("error"):
            results.append(error_of_status(answer.error))
        else:
            results.append(conversion.embedding_of(answer.embedding, made_by))
    return results


def _embed_fields(options: EmbedOptions) -> dict[str, Any]:
    return {
        "domain": number_of(embedding_pb2.Domain, options.get("domain")),
        "kind": number_of(embedding_pb2.InputKind, options.get("kind")),
        "dimensions": options.get("dimensions", 0),
        "reject_truncation": options.get("reject_truncation", False),
    }


def _add_filter(request: pb.ListEventsRequest | pb.SearchEventsRequest, options: FilterOptions) -> None:
    if wanted := options.get("metadata_filter"):
        fill("metadata_filter", request.metadata_filter, wanted)
    if (start := options.get("start_time")) is not None:
        request.start_time.CopyFrom(conversion.timestamp_of(start))
    if (end := options.get("end_time")) is not None:
        request.end_time.CopyFrom(conversion.timestamp_of(end))
