"""Query strings read into messages."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.errors import InvalidRequestError
from gateway.http.query import query_tree
from gateway.http.reading import read_message
from servicekit.errors import FieldViolation
from tests.fixtures_gateway import everything_class

Everything: Any = everything_class()


def read(query: str, taken: tuple[str, ...] = ()) -> Any:
    message = Everything()
    read_message(query_tree(query, Everything.DESCRIPTOR, taken=taken), message)
    return message


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("&&", {}),
        ("text=a+b%20c%2Bd", {"text": "a b c+d"}),
        ("text=%C3%BC", {"text": "ü"}),
        ("text=", {"text": ""}),
        ("text", {"text": ""}),
        ("text=a=b", {"text": "a=b"}),
        ("a_int32=-5&a_uint64=18446744073709551615", {"a_int32": -5, "a_uint64": 18446744073709551615}),
        ("aInt32=-5", {"a_int32": -5}),
        ("a_double=0.5&flag=true", {"a_double": 0.5, "flag": True}),
        ("flag=false", {"flag": False}),
        ("colour=COLOUR_BLUE", {"colour": 2}),
        ("colour=2", {"colour": 2}),
        ("many_numbers=1&many_numbers=2", {"many_numbers": [1, 2]}),
        ("many_colours=COLOUR_BLUE", {"many_colours": [2]}),
        ("nested.text=a&nested.nested.aInt32=7", {"nested": Everything(text="a", nested=Everything(a_int32=7))}),
        ('nested={"many_numbers":[1,2]}', {"nested": Everything(many_numbers=[1, 2])}),
        ('many_nested={"text":"a"}&many_nested={}', {"many_nested": [Everything(text="a"), Everything()]}),
        ("one=x", {"one": "x"}),
    ],
)
def test_parameters_set_fields(query: str, expected: dict[str, Any]) -> None:
    assert read(query) == Everything(**expected)


def test_well_known_types_are_written_as_in_json() -> None:
    message = read(
        "wkt_timestamp=2026-01-31T12:00:00%2B01:00&wkt_duration=1.5s&wkt_fieldmask=text,aInt32"
        '&wkt_struct={"topic":"tea","n":[1]}&wkt_value=[1]&wkt_listvalue=[1]&wkt_int32value=7&wkt_boolvalue=true'
    )

    assert message.wkt_timestamp.ToJsonString() == "2026-01-31T11:00:00Z"
    assert message.wkt_duration.ToMilliseconds() == 1500
    assert list(message.wkt_fieldmask.paths) == ["text", "a_int32"]
    assert dict(message.wkt_struct)["topic"] == "tea"
    assert list(message.wkt_value.list_value) == [1]
    assert list(message.wkt_listvalue) == [1]
    assert message.wkt_int32value.value == 7
    assert message.wkt_boolvalue.value is True


@pytest.mark.parametrize(
    ("query", "field", "description"),
    [
        ("nope=1", "nope", "is not a query parameter of this path"),
        ("nested.nope=1", "nested.nope", "is not a query parameter of this path"),
        ("many_nested.text=1", "many_nested.text", "is not a query parameter of this path"),
        ("wkt_struct.topic=tea", "wkt_struct.topic", "is not a query parameter of this path"),
        ("=1", "query", "is not a query parameter of this path"),
        ("a_int32=1&a_int32=2", "a_int32", "is given more than once"),
        ("a_int32=1&aInt32=2", "a_int32", "is given twice"),
        ("nested={}&nested={}", "nested", "is given more than once"),
        ("text=%FF", "text", "is not valid UTF-8"),
        ("%FF=1", "query", "is not valid UTF-8"),
        ("wkt_struct=tea", "wkt_struct", "is not valid JSON: Expecting value (line 1, column 1)"),
        ("wkt_struct=[1]", "wkt_struct", "must be a JSON object"),
        ('wkt_struct={"a":NaN}', "wkt_struct.a", "must be a finite number within the range of 64-bit floats"),
        ("a_int32=ten", "a_int32", "must be an integer from -2147483648 to 2147483647"),
        ("a_int32=", "a_int32", "must be an integer from -2147483648 to 2147483647"),
        ("flag=yes", "flag", "must be true or false"),
        ("colour=GREEN", "colour", "must be one of COLOUR_UNSPECIFIED, COLOUR_RED, COLOUR_BLUE"),
        ("wkt_timestamp=yesterday", "wkt_timestamp", "must be a time such as 2026-01-31T12:00:00Z"),
        ("many_numbers=1&many_numbers=x", "many_numbers[1]", "must be an integer from -2147483648 to 2147483647"),
        ("nested.flag=yes", "nested.flag", "must be true or false"),
        ("nested=5&nested.text=a", "nested", "is given twice"),
        ("one=a&other=1", "other", "cannot be given together with one"),
    ],
)
def test_what_does_not_fit_is_named(query: str, field: str, description: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        read(query)

    assert [(v.field, v.description) for v in raised.value.violations] == [(field, description)]


def test_fields_that_come_from_elsewhere_are_no_parameters() -> None:
    with pytest.raises(InvalidRequestError, match=r"nested\.text: is not a query parameter"):
        read("nested.text=a", taken=("nested",))


names = st.sampled_from(
    [field.name for field in Everything.DESCRIPTOR.fields] + ["nope", "nested.text", "nested.nested"]
)
texts = st.sampled_from(["1", "true", "{}", "[1]", "null", "%FF", "[[", "1.5s", "COLOUR_RED", "NaN"]) | st.text(
    max_size=5
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(names, texts)).map(lambda pairs: "&".join(f"{name}={text}" for name, text in pairs)) | st.text()
)
def test_any_query_is_read_or_refused(query: str) -> None:
    problems: tuple[FieldViolation, ...] | None = None
    try:
        read(query)
    except InvalidRequestError as error:
        problems = error.violations
    assert problems is None or all(problem.description for problem in problems)
