"""What counts as JSON."""

import pytest

from gateway.http.json_text import JsonError, NotANumber, depth, parse_json


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{", "is not valid JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        (b"", "is not valid JSON: Expecting value (line 1, column 1)"),
        (b"{} {}", "is not valid JSON: Extra data (line 1, column 4)"),
        (b"{'a': 1}", "is not valid JSON"),
        (b"\xff\xfe{}", "is not valid UTF-8"),
        (b'{"a": "\xc3"}', "is not valid UTF-8"),
        (b'{"a": 1, "b": 2, "a": 3}', "has an object with the key 'a' twice"),
        (
            b"{" + b",".join(b'"%d":0' % (n % 199_999) for n in range(200_000)) + b"}",
            "has an object with the key '0' twice",
        ),
        (b"[" * 100_000 + b"]" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "is nested too deeply"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_not_json_is_refused_with_the_reason(text: bytes, problem: str) -> None:
    with pytest.raises(JsonError) as raised:
        parse_json(text)

    assert str(raised.value).startswith(problem)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "9" * 10_000])
def test_numbers_that_json_does_not_have_are_marked(text: str) -> None:
    assert isinstance(parse_json(text), NotANumber)


def test_ordinary_values_are_themselves() -> None:
    text = '{"a": [1, -2.5, 1e3, true, false, null, "\\u00fc"], "b": {}}'

    assert parse_json(text) == {"a": [1, -2.5, 1000.0, True, False, None, "ü"], "b": {}}


@pytest.mark.parametrize(("value", "levels"), [(1, 0), ([], 1), ({}, 1), ({"a": [1, {"b": 2}], "c": {}}, 3)])
def test_depth_counts_levels(value: object, levels: int) -> None:
    assert depth(value) == levels
