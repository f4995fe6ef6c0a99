"""Which text of an event is embedded."""

from typing import Any

import pytest

from store.use_cases.event_text import LONGEST_TEXT, text_to_embed


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"text": "hello"}, "hello"),
        ({"text": "hello", "title": "not this"}, "hello"),
        ({"text": " kept as it is \n"}, " kept as it is \n"),
        ({"text": 5, "title": "this"}, "this"),
        ({"text": {"a": "b"}}, "b"),
        ({"b": "2", "a": "1", "ä": "3"}, "1\n2\n3"),
        ({"z": {"b": "2", "a": "1"}, "a": ["x", {"k": "y"}, ["z"]]}, "x\ny\nz\n1\n2"),
        ({"a": "one", "b": " ", "c": "two"}, "one\ntwo"),
        ({"a": 1, "b": None, "c": True, "d": [], "e": {}}, None),
        ({"text": ""}, None),
        ({"text": " \t\n", "title": "not this"}, None),
        ({}, None),
    ],
)
def test_the_text_is_content_text_else_all_strings_in_key_order(content: dict[str, Any], text: str | None) -> None:
    assert text_to_embed(content) == text


def test_a_long_text_is_cut() -> None:
    assert text_to_embed({"text": "🚀" * (LONGEST_TEXT + 1)}) == "🚀" * LONGEST_TEXT


def test_a_text_that_is_blank_as_far_as_it_is_read_is_none() -> None:
    assert text_to_embed({"text": " " * LONGEST_TEXT + "x"}) is None
