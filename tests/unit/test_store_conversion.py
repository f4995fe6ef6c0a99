"""Structs and Timestamps: what goes in comes out."""

import json
import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import InvalidArgumentError
from store.events import EmbeddingState, Event, Json
from store.servicers.conversion import event_message, time_of
from store.servicers.structs import object_of, write_object
from trimem.store.v1 import event_service_pb2 as pb

JSON = st.recursive(
    st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"])) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


def struct_of(value: Json) -> Struct:
    message = Struct()
    write_object(value, message)
    return message


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=4))
def test_an_object_survives_the_way_to_a_struct_and_back(value: dict[str, Any]) -> None:
    through = object_of(Struct.FromString(struct_of(_finite(value)).SerializeToString()))

    assert through == _finite(value)


def _finite(value: Any) -> Any:
    """The same without infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return 0.5 if isinstance(value, float) and math.isinf(value) else value


def test_whole_numbers_are_kept_as_integers_where_a_double_can_tell() -> None:
    message = Struct()
    message.update({"a": 3.0, "b": 0.5, "c": 2.0**53, "d": 2.0**60, "e": True})

    value = object_of(message)

    assert [type(value[key]) for key in "abcde"] == [int, float, int, float, bool]


def test_numbers_that_no_double_holds_come_out_as_text() -> None:
    assert object_of(struct_of({"n": 10**400})) == {"n": str(10**400)}
    assert object_of(struct_of({"n": math.inf})) == {"n": "inf"}


def test_what_old_rows_nest_too_deep_for_a_message_comes_out_as_json_text() -> None:
    value: dict[str, Any] = {"text": "deep"}
    for _ in range(60):
        value = {"k": [value]}

    message = struct_of(value)
    inner: Any = object_of(Struct.FromString(message.SerializeToString()))
    while not isinstance(inner, str):
        inner = inner["k"] if isinstance(inner, dict) else inner[0]

    assert '{"text": "deep"}' in inner
    assert json.loads(inner)


def test_large_whole_numbers_of_old_rows_come_out_as_doubles() -> None:
    assert object_of(struct_of({"n": 2**60 + 1})) == {"n": float(2**60)}


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_survives_the_way_to_a_timestamp_and_back(value: datetime) -> None:
    event = Event(UUID(int=1), value, {}, {}, EmbeddingState.PENDING, value, value, None, 0)

    message = event_message(event)

    assert [time_of("t", one) for one in (message.timestamp, message.create_time, message.update_time)] == [value] * 3


def test_what_is_empty_is_there_all_the_same() -> None:
    now = datetime(1970, 1, 1, tzinfo=UTC)

    message = event_message(Event(UUID(int=1), now, {"a": {}, "b": []}, {}, EmbeddingState.SKIPPED, now, now, None, 0))

    assert message.HasField("timestamp")
    assert message.HasField("metadata")
    assert object_of(pb.Event.FromString(message.SerializeToString()).content) == {"a": {}, "b": []}


def test_nanoseconds_are_cut_off() -> None:
    assert time_of("t", Timestamp(seconds=0, nanos=999_999_999)) == datetime(1970, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC)
    assert time_of("t", Timestamp(seconds=-1, nanos=1_999)).microsecond == 1


@pytest.mark.parametrize("seconds", [-62_135_596_801, 253_402_300_800, 2**63 - 1, -(2**63)])
def test_a_time_outside_of_the_calendar_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidArgumentError, match="t: must be a time"):
        time_of("t", Timestamp(seconds=seconds))
