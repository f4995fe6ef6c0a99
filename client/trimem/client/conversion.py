"""Dataclasses to messages of the API, and back."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from trimem.client.enums import member_of
from trimem.client.structs import fill, object_of
from trimem.client.types import (
    Domain,
    Embedding,
    EmbeddingState,
    Event,
    ModelInfo,
    Models,
    ModelState,
    NewEvent,
    SearchHit,
    SearchMode,
    SearchPage,
    Vector,
)
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def create_request(event: NewEvent) -> pb.CreateEventRequest:
    """The request that stores an event. Raises InvalidArgumentError for content that no message can hold."""
    request = pb.CreateEventRequest(request_id=event.request_id or "", vector_fingerprint=event.vector_fingerprint)
    request.event.id = event.id or ""
    if event.timestamp is not None:
        request.event.timestamp.CopyFrom(timestamp_of(event.timestamp))
    fill("event.content", request.event.content, event.content)
    if event.metadata:
        fill("event.metadata", request.event.metadata, event.metadata)
    if event.vector is not None:
        request.vector.values.extend(event.vector)
    return request


def event_of(message: pb.Event) -> Event:
    """An event as stored."""
    return Event(
        id=message.id,
        timestamp=time_of(message.timestamp),
        content=object_of(message.content),
        metadata=object_of(message.metadata),
        embedding_state=member_of(EmbeddingState, pb.EmbeddingState, message.embedding_state),
        create_time=time_of(message.create_time),
        update_time=time_of(message.update_time),
        embedding_error=message.embedding_error,
        embedding_attempts=message.embedding_attempts,
    )


def search_page_of(message: pb.SearchEventsResponse) -> SearchPage:
    """A page of hits."""
    return SearchPage(
        hits=tuple(
            SearchHit(
                event=event_of(hit.event),
                score=hit.score,
                similarity=hit.similarity,
                lexical_score=hit.lexical_score,
            )
            for hit in message.hits
        ),
        mode=member_of(SearchMode, pb.SearchMode, message.mode),
        complete=message.complete,
        degraded=message.degraded,
        next_page_token=message.next_page_token,
    )


def embeddings_of(message: embedding_pb2.EmbedResponse) -> tuple[Embedding, ...]:
    """The embeddings of an answer, in input order."""
    models = models_of(message.models)
    return tuple(embedding_of(one, models) for one in message.embeddings)


def embedding_of(message: embedding_pb2.Embedding, models: tuple[ModelInfo, ...]) -> Embedding:
    """One embedding, made by these models."""
    return Embedding(
        text=vector_of(message.text) if message.HasField("text") else None,
        code=vector_of(message.code) if message.HasField("code") else None,
        token_count=message.token_count,
        truncated=message.truncated,
        cached=message.cached,
        models=models,
    )


def models_of(messages: Iterable[embedding_pb2.ModelInfo]) -> tuple[ModelInfo, ...]:
    """Models of an answer."""
    return tuple(
        ModelInfo(
            domain=member_of(Domain, embedding_pb2.Domain, message.domain),
            name=message.name,
            revision=message.revision,
            fingerprint=message.fingerprint,
            dimension=message.dimension,
            max_tokens=message.max_tokens,
            precision=message.precision,
            engine=message.engine,
            device=message.device,
            state=member_of(ModelState, embedding_pb2.ModelState, message.state),
            weight_bytes=message.weight_bytes,
        )
        for message in messages
    )


def all_models_of(message: embedding_pb2.ListModelsResponse) -> Models:
    """The models of an embedder."""
    return Models(
        models=models_of(message.models),
        rss_bytes=message.rss_bytes,
        memory_budget_bytes=message.memory_budget_bytes,
    )


def similarity_input(value: str | Sequence[float]) -> embedding_pb2.SimilarityInput:
    """One side of a comparison: a text or a vector."""
    if isinstance(value, str):
        return embedding_pb2.SimilarityInput(text=value)
    return embedding_pb2.SimilarityInput(vector=embedding_pb2.Vector(values=value))


def vector_of(message: embedding_pb2.Vector) -> Vector:
    """The numbers of a vector."""
    return tuple(message.values)


def time_of(value: Timestamp) -> datetime:
    """A point in time in UTC, nanoseconds cut off."""
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def timestamp_of(value: datetime) -> Timestamp:
    """A Timestamp, exact to the microsecond; a time without a zone is taken for UTC."""
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    seconds, micros = divmod((moment - _EPOCH) // _MICROSECOND, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def duration_of(value: timedelta) -> Duration:
    """A Duration, exact to the microsecond."""
    seconds, micros = divmod(value // _MICROSECOND, 1_000_000)
    return Duration(seconds=seconds, nanos=micros * 1000)
