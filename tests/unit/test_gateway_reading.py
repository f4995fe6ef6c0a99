"""JSON read into messages: what fits is read, and of what does not the path is named."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.errors import InvalidRequestError
from gateway.http.json_text import MAX_DEPTH, JsonError, parse_json
from gateway.http.reading import MAX_VIOLATIONS, read_field, read_message
from servicekit.status import to_status
from tests.fixtures_gateway import everything_class
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2

Everything: Any = everything_class()


def read(value: Any) -> Any:
    message = Everything()
    read_message(value, message)
    return message


def violations(value: Any, message: Any = None) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as raised:
        read_message(value, Everything() if message is None else message)
    return {violation.field: violation.description for violation in raised.value.violations}


#: One object with a value for every field.
GOOD = {
    "text": "ü",
    "raw": "AP8=",
    "flag": True,
    "a_int32": -5,
    "a_int64": "9007199254740993",
    "a_uint32": 5.0,
    "a_uint64": 18446744073709551615,
    "a_float": 0.1,
    "a_double": 2,
    "colour": "COLOUR_RED",
    "many_numbers": [1, "2", 3],
    "many_texts": ["a", ""],
    "many_colours": ["COLOUR_BLUE", 1],
    "nested": {"nested": {"text": "inner"}},
    "many_nested": [{"text": "a"}, {}],
    "counts": {"a": 1},
    "one": "chosen",
    "wkt_timestamp": "2026-01-31T12:00:00Z",
    "wkt_duration": "1.5s",
    "wkt_fieldmask": "text,aInt32",
    "wkt_struct": {"a": [1, {"b": None}]},
    "wkt_value": [1, "a"],
    "wkt_listvalue": [1, {}],
    "wkt_int32value": 0,
    "wkt_boolvalue": False,
    "many_structs": [{"a": 1}, {}],
}


def test_every_type_is_read_as_protobufs_own_reader_does() -> None:
    assert read(GOOD) == json_format.ParseDict(GOOD, Everything())


def test_both_spellings_of_a_name_are_taken() -> None:
    assert read({"manyNested": [{"aInt32": 7}]}) == read({"many_nested": [{"a_int32": 7}]})


def test_null_means_not_set() -> None:
    assert read(dict.fromkeys(set(GOOD) - {"wkt_value"})) == Everything()
    assert read({"wkt_value": None}).wkt_value.HasField("null_value")  # the one type that has a null


def test_an_empty_object_is_a_message_that_is_set() -> None:
    assert read({"nested": {}}).HasField("nested")


def test_a_vector_of_floats_is_read() -> None:
    message = event_service_pb2.SearchEventsRequest()
    read_message({"vector": {"values": [0.25] * 768}}, message)

    assert list(message.vector.values) == [0.25] * 768


def test_a_vector_of_integers_and_of_the_largest_floats_is_read() -> None:
    message = event_service_pb2.SearchEventsRequest()
    read_message({"vector": {"values": [1, -2, 3.4028234663852886e38, -0.0]}}, message)

    assert list(message.vector.values) == [1, -2, 3.4028234663852886e38, 0]


@pytest.mark.parametrize("text", ["-_8=", "-_8", "+/8=", "+/8"])
def test_bytes_are_base64_of_either_alphabet_with_padding_or_without(text: str) -> None:
    message = Everything()
    read_message({"raw": text}, message)

    assert message.raw == b"\xfb\xff"


@pytest.mark.parametrize("wrong", [1e39, -1e39, 10**400, True, "x", None])
def test_the_number_of_a_vector_that_does_not_fit_is_named(wrong: Any) -> None:
    request = event_service_pb2.SearchEventsRequest()

    assert list(violations({"vector": {"values": [0.5, wrong]}}, request)) == ["vector.values[1]"]


@pytest.mark.parametrize(
    ("field", "bad", "expected"),
    [
        ("text", [5, True, [], {}], "must be a string"),
        ("text", ["\ud800"], "must be valid Unicode text"),
        ("raw", [5, "a", "=", "YQ==YQ==", "YW\nFh", "print(1)", "ü", "\ud800"], "must be base64"),
        ("flag", ["true", 1, 0, [], {}], "must be true or false"),
        ("a_int32", [True, 1.5, "many", "", [], {}, 2**31, 1e300], "must be an integer from -2147483648 to 2147483647"),
        ("a_uint32", [-1, 2**32], "must be an integer from 0 to 4294967295"),
        ("a_uint64", [-1, 2**64], "must be an integer from 0 to 18446744073709551615"),
        ("a_float", [True, "x", [], 1e300], "must be a number within the range of 32-bit floats"),
        ("a_double", [True, "x", {}], "must be a number within the range of 64-bit floats"),
        (
            "colour",
            ["RED", "", True, 1.5, [], {}],
            "must be one of COLOUR_UNSPECIFIED, COLOUR_RED, COLOUR_BLUE",
        ),
        ("many_numbers", [5, "5", {}], "must be a JSON array"),
        ("nested", [[], "", 5, False], "must be a JSON object"),
        ("many_nested", [{}, "a"], "must be a JSON array"),
        ("counts", [[], {"a": "x"}], "must be a JSON object whose keys and values fit"),
        ("wkt_timestamp", [5, "yesterday", "", {}], "must be a time such as 2026-01-31T12:00:00Z"),
        ("wkt_timestamp", ["0000-01-01T00:00:00Z"], "must be a time such as 2026-01-31T12:00:00Z"),
        ("wkt_duration", [5, "1 minute"], "must be a duration such as 1.5s"),
        ("wkt_struct", [[], "a", 5, False], "must be a JSON object"),
        ("wkt_listvalue", [{}, "a"], "must be a JSON array"),
        ("wkt_int32value", ["x", True], "must be an integer from -2147483648 to 2147483647"),
        ("wkt_boolvalue", [1, "true"], "must be true or false"),
        ("wkt_any", [{"@type": "nonsense"}, 5], "must be a JSON object that fits"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_named_and_explained(field: str, bad: list[Any], expected: str) -> None:
    for value in bad:
        assert violations({field: value}) == {field: expected}, value
        assert violations({"nested": {field: value}}) == {f"nested.{field}": expected}, value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"many_numbers": [1, 2, "x"]}, "many_numbers[2]"),
        ({"manyNumbers": [None]}, "many_numbers[0]"),
        ({"many_nested": [{}, {"a_int32": "x"}]}, "many_nested[1].a_int32"),
        ({"many_nested": [None]}, "many_nested[0]"),
        ({"many_structs": [{}, 5]}, "many_structs[1]"),
        ({"nested": {"nested": {"nope": 1}}}, "nested.nested.nope"),
        ({"[test.extension]": 1}, "[test.extension]"),
        ({"ü": 1}, "ü"),
        ({"nested": {"": 1}}, 'nested.""'),
        ({"\ud800": 1}, "\ud800"),
        ({"wkt_struct": {"a": [0, parse_json("NaN")]}}, "wkt_struct.a[1]"),
        ({"wkt_struct": {"a": parse_json("1e999")}}, "wkt_struct.a"),
        ({"wkt_struct": {"a": {"b": "\ud800"}}}, "wkt_struct.a.b"),
        ({"a_double": parse_json("NaN")}, "a_double"),
        ([], "body"),
        ("text", "body"),
        (None, "body"),
    ],
)
def test_the_path_leads_to_the_fault(value: Any, path: str) -> None:
    assert list(violations(value)) == [path]


def test_all_faults_are_named_at_once_up_to_a_limit() -> None:
    assert set(violations({"a_int32": "x", "flag": 5, "nope": 1, "text": "fine"})) == {"a_int32", "flag", "nope"}
    assert len(violations({f"nope{number}": 1 for number in range(1000)})) == MAX_VIOLATIONS


def test_a_field_in_two_spellings_is_refused() -> None:
    assert violations({"a_int32": 1, "aInt32": 2}) == {"a_int32": "cannot be given together with a_int32"}


def test_two_fields_of_a_oneof_are_refused() -> None:
    assert violations({"one": "a", "other": 1}) == {"other": "cannot be given together with one"}


def test_an_unknown_enum_number_is_left_to_the_backend() -> None:
    assert read({"colour": 99}).colour == 99


def nested(levels: int, make: Any) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = make(value)
    return value


@pytest.mark.parametrize("make", [lambda inner: {"a": inner}, lambda inner: [inner]])
def test_free_form_json_may_be_nested_as_deep_as_the_wire_allows(make: Any) -> None:
    request = event_service_pb2.BatchCreateEventsRequest()
    content = {"a": nested(MAX_DEPTH - 1, make)}
    read_message({"requests": [{"event": {"content": content}}]}, request)
    assert event_service_pb2.BatchCreateEventsRequest.FromString(request.SerializeToString()) == request

    too_deep = {"requests": [{"event": {"content": {"a": content}}}]}
    assert violations(too_deep, event_service_pb2.BatchCreateEventsRequest()) == {
        "requests[0].event.content": f"is nested more than {MAX_DEPTH} levels deep"
    }


def test_one_field_can_be_read_alone() -> None:
    message = event_service_pb2.CreateEventRequest()
    field = message.DESCRIPTOR.fields_by_name["event"]
    read_field({"id": "x"}, message, field)
    assert message.event.id == "x"

    with pytest.raises(InvalidRequestError) as raised:
        read_field({"content": "text"}, message, field)
    assert [violation.field for violation in raised.value.violations] == ["event.content"]


#: Names of real fields turn up often, so that values reach every kind of field.
texts = st.text(st.characters(exclude_categories=()), max_size=5)  # lone surrogates included
names = st.sampled_from([*GOOD, "nope"]) | texts
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from([value for value in GOOD.values() if isinstance(value, str)])
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(names, values, max_size=6) | values)
def test_any_json_is_read_as_protobuf_does_or_refused_with_an_error_that_can_be_sent(value: Any) -> None:
    refused: InvalidRequestError | None = None
    message = Everything()
    try:
        read_message(value, message)
    except InvalidRequestError as error:
        refused = error
    if refused is None:
        assert message == json_format.ParseDict(value, Everything())
        message.SerializeToString()
    else:
        assert all(violation.field and violation.description for violation in refused.violations)
        assert to_status(refused).SerializeToString()


@settings(max_examples=300, deadline=None)
@given(st.binary() | st.text().map(str.encode) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_json_or_refused(text: bytes) -> None:
    try:
        parse_json(text)
    except JsonError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert refusal == "" or refusal.startswith(("is ", "has "))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("field", "good", "bad"), [("inputs", "", 0), ("inputs", "", "\ud800")])
def test_the_one_that_does_not_fit_is_found_among_many(field: str, good: object, bad: object) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        read_message({field: [good] * 300_000 + [bad]}, embedding_pb2.EmbedRequest())

    assert [one.field for one in raised.value.violations] == ["inputs[300000]"]
