"""JSON of messages: what protobuf's own writer gives, faster."""

import json
import math
import struct
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.message_text import field_text, message_text, packed_floats_text
from tests.fixtures_gateway import everything_class
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2

Everything: Any = everything_class()

texts = st.text(max_size=8)
objects = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    ),
    max_size=3,
)
floats = st.floats(width=32)


def reference(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


@st.composite
def everythings(draw: Any, depth: int = 2) -> Any:
    message = Everything()
    values: dict[str, Any] = {
        "text": texts,
        "raw": st.binary(max_size=5),
        "flag": st.booleans(),
        "a_int32": st.integers(-(2**31), 2**31 - 1),
        "a_int64": st.integers(-(2**63), 2**63 - 1),
        "a_uint32": st.integers(0, 2**32 - 1),
        "a_uint64": st.integers(0, 2**64 - 1),
        "a_float": floats,
        "a_double": st.floats(),
        "colour": st.integers(0, 9),
        "one": texts,
    }
    for name in draw(st.sets(st.sampled_from(sorted(values)))):
        setattr(message, name, draw(values[name]))
    message.many_numbers.extend(draw(st.lists(values["a_int32"], max_size=3)))
    message.many_texts.extend(draw(st.lists(texts, max_size=3)))
    message.many_colours.extend(draw(st.lists(values["colour"], max_size=3)))
    message.counts.update(draw(st.dictionaries(texts, values["a_int32"], max_size=3)))
    if draw(st.booleans()):
        message.wkt_timestamp.seconds = draw(st.integers(-62135596800, 253402300799))
        message.wkt_duration.seconds = draw(st.integers(0, 315576000000))
        message.wkt_fieldmask.paths.extend(["a", "b.c_d"])
        message.wkt_struct.update(draw(objects))
        message.wkt_value.struct_value.update(draw(objects))
        message.wkt_listvalue.extend([1.5, "x", None, draw(objects)])
        message.wkt_int32value.value = draw(values["a_int32"])
        message.wkt_boolvalue.value = draw(st.booleans())
        message.wkt_any.Pack(embedding_pb2.Vector(values=[0.5]))
        message.many_structs.add().update(draw(objects))
    if depth and draw(st.booleans()):
        message.nested.CopyFrom(draw(everythings(depth - 1)))
        message.many_nested.append(draw(everythings(depth - 1)))
    return message


@settings(max_examples=50, deadline=None)
@given(everythings())
def test_it_is_what_protobuf_writes(message: Any) -> None:
    assert json.loads(message_text(message)) == reference(message)


@pytest.mark.parametrize("name", [field.name for field in Everything.DESCRIPTOR.fields])
def test_a_field_that_is_not_set_is_null_or_its_zero(name: str) -> None:
    empty = Everything()
    assert json.loads(field_text(empty, name)) == reference(empty).get(name)


@settings(max_examples=50, deadline=None)
@given(st.lists(floats.map(lambda value: math.nan if math.isnan(value) else value), max_size=20))
def test_floats_of_a_list_come_back(values: list[float]) -> None:
    message = embedding_pb2.Vector(values=values)
    again = embedding_pb2.Vector(values=map(float, json.loads(message_text(message))["values"]))
    assert struct.pack(f"<{len(values)}f", *again.values) == struct.pack(f"<{len(values)}f", *message.values)


def test_short_floats_are_short() -> None:
    assert message_text(embedding_pb2.Vector(values=[0.1, -2, 1e-7])) == '{"values":[0.1,-2,1e-07]}'
    assert message_text(embedding_pb2.ComputeSimilarityResponse(cosine=0.1, score=1 / 3)) == (
        '{"cosine":0.1,"score":0.33333334}'
    )
    assert message_text(embedding_pb2.Vector(values=[math.nan, math.inf, -math.inf, 3.4028234663852886e38])) == (
        '{"values":["NaN","Infinity","-Infinity",3.4028234663852886e+38]}'
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_packed_floats_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        packed_floats_text(struct.pack("<2f", 1, value))


def test_a_detail_of_a_type_that_is_not_known_here_does_not_stop_the_answer() -> None:
    status = status_pb2.Status(code=3, details=[AnyMessage(type_url="type.googleapis.com/other.Thing", value=b"\xff")])
    result = event_service_pb2.BatchCreateEventsResult(error=status)
    detail = json.loads(message_text(result))["error"]["details"][0]
    assert detail == {"@type": "type.googleapis.com/other.Thing", "value": "/w=="}
