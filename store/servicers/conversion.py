"""Messages of trimem.store.v1 to dataclasses, and back."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit.errors import InvalidArgumentError
from store.events import EmbeddingState, Event, EventDraft, EventFilter, Json, Vector
from store.use_cases.event_rules import MAX_LEVELS
from store.use_cases.fusion import SearchMode
from store.use_cases.search_events import EventSearch, SearchPage
from store.use_cases.update_event import EventUpdate
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_SECOND = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_LAST_SECOND = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)

#: Integers up to here are the same as a double and as an integer.
_EXACT = 2**53

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
    return pb.Event(
        id=str(event.id),
        timestamp=timestamp_of(event.timestamp),
        content=struct_of(event.content),
        metadata=struct_of(event.metadata),
        embedding_state=_state_message(event.embedding_state),
        create_time=timestamp_of(event.create_time),
        update_time=timestamp_of(event.update_time),
        embedding_error=event.embedding_error or "",
        embedding_attempts=event.embedding_attempts,
    )


def search_message(page: SearchPage) -> pb.SearchEventsResponse:
    """The answer to a search."""
    return pb.SearchEventsResponse(
        hits=[
            pb.SearchHit(
                event=event_message(hit.event),
                score=hit.score,
                similarity=hit.similarity,
                lexical_score=hit.lexical_score,
            )
            for hit in page.hits
        ],
        mode=pb.SearchMode.Value(f"SEARCH_MODE_{page.mode.value}"),
        complete=page.complete,
        degraded=page.degraded,
        next_page_token=page.next_page_token,
    )


def time_of(field: str, value: Timestamp) -> datetime:
    """A point in time, nanoseconds cut off. Raises InvalidArgumentError outside of the years 1 to 9999."""
    if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < 1_000_000_000):
        raise InvalidArgumentError(field, "must be a time from year 1 to year 9999")
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def timestamp_of(value: datetime) -> Timestamp:
    """A Timestamp, exact to the microsecond."""
    seconds, micros = divmod((value - _EPOCH) // _MICROSECOND, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def object_of(value: Struct) -> Json:
    """A JSON object. Whole numbers become int, because a Struct knows doubles only and people read the database."""
    return {key: _plain(item) for key, item in value.fields.items()}


def struct_of(value: Json, level: int = 1) -> Struct:
    """A Struct of a JSON object. What adopted rows nest deeper than a message can becomes JSON text."""
    return Struct(fields={key: _value(item, level + 1) for key, item in value.items()})


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return _number(value.number_value)
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return object_of(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
    return None


def _number(value: float) -> float | int:
    return int(value) if math.isfinite(value) and value.is_integer() and abs(value) <= _EXACT else value


def _value(value: Any, level: int) -> Value:
    match value:
        case dict() | list() if level > MAX_LEVELS:
            return Value(string_value=json.dumps(value, ensure_ascii=False))
        case str():
            return Value(string_value=value)
        case dict():
            return Value(struct_value=struct_of(value, level))
        case list():
            return Value(list_value=ListValue(values=[_value(item, level + 1) for item in value]))
    return _scalar(value)


def _scalar(value: bool | float | None) -> Value:
    if value is None:
        return Value(null_value=NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    return _number_value(value)


def _number_value(value: float) -> Value:
    """A number, or its digits where it is too large for a double: adopted rows may hold such."""
    try:
        number = float(value)
    except OverflowError:
        return Value(string_value=str(value))
    return Value(number_value=number) if math.isfinite(number) else Value(string_value=str(value))


def _state_of(state: pb.EmbeddingState.ValueType) -> EmbeddingState | None:
    if state == pb.EMBEDDING_STATE_UNSPECIFIED:
        return None
    if state not in pb.EmbeddingState.values():
        raise InvalidArgumentError("embedding_state", "is not an embedding state")
    return EmbeddingState(pb.EmbeddingState.Name(state).removeprefix("EMBEDDING_STATE_"))


def _state_message(state: EmbeddingState) -> pb.EmbeddingState.ValueType:
    return pb.EmbeddingState.Value(f"EMBEDDING_STATE_{state.value}")
