"""Messages of trimem.store.v1 to dataclasses, and back."""

from datetime import UTC, datetime, timedelta

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit.errors import InvalidArgumentError
from store.events import EmbeddingState, Event, EventDraft, EventFilter, Vector
from store.servicers.structs import object_of, write_object
from store.use_cases.fusion import SearchMode
from store.use_cases.search_events import EventSearch, SearchPage
from store.use_cases.update_event import EventUpdate
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_LAST_SECOND = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)

_STATES = {state: pb.EmbeddingState.Value(f"EMBEDDING_STATE_{state.value}") for state in EmbeddingState}

_MODES = {
    pb.SEARCH_MODE_UNSPECIFIED: None,
    pb.SEARCH_MODE_HYBRID: SearchMode.HYBRID,
    pb.SEARCH_MODE_VECTOR: SearchMode.VECTOR,
    pb.SEARCH_MODE_LEXICAL: SearchMode.LEXICAL,
}


def draft_of(request: pb.CreateEventRequest) -> EventDraft:
    """The event of a request. Raises InvalidArgumentError for what no dataclass can hold."""
    if not request.HasField("event"):
        raise InvalidArgumentError("event", "is required")
    event = request.event
    return EventDraft(
        content=object_of(event.content) if event.HasField("content") else None,
        metadata=object_of(event.metadata),
        id=event.id,
        timestamp=time_of("event.timestamp", event.timestamp) if event.HasField("timestamp") else None,
        request_id=request.request_id,
        vector=vector_of(request.vector) if request.HasField("vector") else None,
        vector_fingerprint=request.vector_fingerprint,
    )


def update_of(request: pb.UpdateEventRequest) -> EventUpdate:
    """The change of a request. Raises InvalidArgumentError for what no dataclass can hold."""
    if not request.HasField("event"):
        raise InvalidArgumentError("event", "is required")
    event = request.event
    return EventUpdate(
        id=event.id,
        content=object_of(event.content) if event.HasField("content") else None,
        metadata=object_of(event.metadata) if event.HasField("metadata") else None,
        mask=tuple(request.update_mask.paths),
    )


def vector_of(value: embedding_pb2.Vector) -> Vector:
    """The numbers of a vector."""
    return np.array(value.values, dtype=np.float32)


def filter_of(request: pb.ListEventsRequest | pb.SearchEventsRequest) -> EventFilter:
    """The filter of a request. Raises InvalidArgumentError."""
    return EventFilter(
        metadata=object_of(request.metadata_filter),
        start_time=time_of("start_time", request.start_time) if request.HasField("start_time") else None,
        end_time=time_of("end_time", request.end_time) if request.HasField("end_time") else None,
        embedding_state=_state_of(request.embedding_state) if isinstance(request, pb.ListEventsRequest) else None,
    )


def search_of(request: pb.SearchEventsRequest) -> EventSearch:
    """What a request looks for. Raises InvalidArgumentError."""
    if request.mode not in _MODES:
        raise InvalidArgumentError("mode", "is not a search mode")
    half_life = request.recency_half_life
    return EventSearch(
        query=request.query,
        vector=vector_of(request.vector) if request.HasField("vector") else None,
        mode=_MODES[request.mode],
        matching=filter_of(request),
        min_similarity=request.min_similarity if request.HasField("min_similarity") else None,
        recency_half_life=half_life.seconds + half_life.nanos / 1e9 if request.HasField("recency_half_life") else None,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def event_message(event: Event) -> pb.Event:
    """An event for an answer."""
    message = pb.Event()
    write_event(event, message)
    return message


def write_event(event: Event, message: pb.Event) -> None:
    """Write an event into an empty message, in place: protobuf would copy one that is put into an answer."""
    message.id = str(event.id)
    write_time(event.timestamp, message.timestamp)
    write_object(event.content, message.content)
    write_object(event.metadata, message.metadata)
    message.embedding_state = _STATES[event.embedding_state]
    write_time(event.create_time, message.create_time)
    write_time(event.update_time, message.update_time)
    message.embedding_error = event.embedding_error or ""
    message.embedding_attempts = event.embedding_attempts


def search_message(page: SearchPage) -> pb.SearchEventsResponse:
    """The answer to a search."""
    message = pb.SearchEventsResponse(
        mode=pb.SearchMode.Value(f"SEARCH_MODE_{page.mode.value}"),
        complete=page.complete,
        degraded=page.degraded,
        next_page_token=page.next_page_token,
    )
    for hit in page.hits:
        added = message.hits.add(score=hit.score, similarity=hit.similarity, lexical_score=hit.lexical_score)
        write_event(hit.event, added.event)
    return message


def time_of(field: str, value: Timestamp) -> datetime:
    """A point in time, nanoseconds cut off. Raises InvalidArgumentError outside of the years 1 to 9999."""
    if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < 1_000_000_000):
        raise InvalidArgumentError(field, "must be a time from year 1 to year 9999")
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def write_time(value: datetime, message: Timestamp) -> None:
    """A point in time, exact to the microsecond."""
    message.SetInParent()  # 1970 is a time, too
    since = value - _EPOCH
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = since.microseconds * 1000


def _state_of(state: pb.EmbeddingState.ValueType) -> EmbeddingState | None:
    if state == pb.EMBEDDING_STATE_UNSPECIFIED:
        return None
    if state not in pb.EmbeddingState.values():
        raise InvalidArgumentError("embedding_state", "is not an embedding state")
    return EmbeddingState(pb.EmbeddingState.Name(state).removeprefix("EMBEDDING_STATE_"))
