"""Lines of JSON as events, and back."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimem.client import EmbeddingState, Event
from trimem.client.batches import Batch
from trimem.client.cli import ndjson
from trimem.client.cli.ndjson import BadLineError, Line, event_of_line, line_of_event, read_lines

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def line(text: str | bytes, number: int = 1) -> Line:
    raw = text.encode() if isinstance(text, str) else text
    return Line(number, raw, len(raw))


JSON = st.dictionaries(
    st.text(st.characters(codec="utf-8")),
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
)


@given(
    st.uuids(),
    st.datetimes(timezones=st.just(UTC)),
    JSON,
    JSON,
)
def test_what_is_exported_is_imported(event_id: UUID, timestamp: datetime, content: Any, metadata: Any) -> None:
    event = Event(
        id=str(event_id),
        timestamp=timestamp,
        content=content,
        metadata=metadata,
        embedding_state=EmbeddingState.EMBEDDED,
        create_time=NOON,
        update_time=NOON,
    )
    text = line_of_event(event)
    assert "\n" not in text
    back = event_of_line(line(text))
    assert (back.id, back.timestamp, back.content, back.metadata) == (event.id, timestamp, content, metadata)


def test_what_an_answer_says_about_an_event_is_taken_and_ignored() -> None:
    text = json.dumps({"id": "x", "content": {"a": 1}, "embedding_state": "FAILED", "create_time": "2026-01-31"})
    assert event_of_line(line(text)).id == "x"


def test_a_line_without_an_id_gets_one_of_what_it_says() -> None:
    first = event_of_line(line('{"content": {"a": 1, "b": 2}}'))
    assert first.id == str(UUID(first.id))
    assert event_of_line(line('{"content": {"b": 2, "a": 1}, "embedding_state": "PENDING"}', 7)).id == first.id
    assert event_of_line(line('{"content": {"a": 1, "b": 3}}')).id != first.id
    assert event_of_line(line('{"content": {"a": 1, "b": 2}, "metadata": {"c": 1}}')).id != first.id
    assert event_of_line(line('{"content": {"a": 1, "b": 2}, "timestamp": "2026-01-31T12:00:00Z"}')).id != first.id


def test_times_may_be_in_any_zone() -> None:
    event = event_of_line(line('{"content": {"a": 1}, "timestamp": "2026-01-31T13:00:00.5+01:00"}'))
    assert event.timestamp == NOON + timedelta(seconds=0.5)


def test_a_vector_comes_along() -> None:
    event = event_of_line(line('{"content": {"a": "b"}, "vector": [1, 0.5], "vector_fingerprint": "f"}'))
    assert (event.vector, event.vector_fingerprint) == ((1.0, 0.5), "f")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON: .* at column 2"),
        ('{"content": {"a": NaN}}', "it has NaN"),
        ('{"content": {"a": -Infinity}}', "it has -Infinity"),
        ("[]", "must be a JSON object"),
        ("3", "must be a JSON object"),
        (b'{"content": "\xff"}', "is not UTF-8: byte 14 of the line"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' * 100_000, "nested too deep"),
        (f'{{"content": {{"n": {"9" * 5000}}}}}', "is not JSON that can be kept"),
        ('{"content": {"a": 1}, "colour": "red"}', "colour: is not a field of an event"),
        ('{"content": {"a": 1}, "request_id": "r"}', "request_id: is not a field of an event"),
        ('{"content": "text"}', "content: must be a JSON object"),
        ('{"content": {"a": 1}, "metadata": []}', "metadata: must be a JSON object"),
        ('{"content": {"a": 1}, "id": 3}', "id: must be a string"),
        ('{"content": {"a": 1}, "id": "\\ud800"}', "id: has characters that do not belong"),
        ('{"content": {"a": 1}, "timestamp": "yesterday"}', "timestamp: must be a time with a zone"),
        ('{"content": {"a": 1}, "timestamp": "2026-01-31T12:00:00"}', "timestamp: must be a time with a zone"),
        ('{"content": {"a": 1}, "timestamp": 1700000000}', "timestamp: must be a string"),
        ('{"content": {"a": 1}, "vector": "many"}', "vector: must be a list of numbers"),
        ('{"content": {"a": 1}, "vector": [1, true]}', "vector: must be a list of numbers"),
        (f'{{"content": {{"a": 1}}, "vector": [1{"0" * 400}]}}', "vector: has a number that is too large"),
    ],
)
def test_a_bad_line_is_refused_with_the_reason(text: str | bytes, said: str) -> None:
    with pytest.raises(BadLineError, match=said):
        event_of_line(line(text))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ("id", "timestamp", "content", "metadata", "vector", "vector_fingerprint")


@given(
    st.binary(max_size=50) | st.dictionaries(st.sampled_from(FIELDS), ANYTHING).map(lambda it: json.dumps(it).encode())
)
@example(b'{"timestamp": "0001-01-01T00:00:00+23:59", "content": {"a": 1}}')
@example(b'{"timestamp": "9999-12-31T23:59:59-23:59", "content": {"a": 1}}')
@example(b'{"id": "\\u0000", "content": {"a": "\\ud800"}}')
def test_whatever_a_line_says_it_is_an_event_or_refused(text: bytes) -> None:
    try:
        event = event_of_line(line(text))
    except BadLineError:
        return
    assert Batch().add(event)


def test_blank_lines_line_ends_and_a_byte_order_mark_do_not_matter() -> None:
    found = list(read_lines(io.BytesIO(b"\xef\xbb\xbf{}\r\n\n  \n[]\n3")))
    assert [(one.number, one.text) for one in found] == [(1, b"{}"), (4, b"[]"), (5, b"3")]
    assert [one.end for one in found] == [7, 14, 15]


def test_a_line_without_an_end_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "LONGEST_LINE", 10)
    found = list(read_lines(io.BytesIO(b"012345678\n" + b"x" * 95 + b"\n" + b"{}\n" + b"y" * 11)))
    assert [(one.number, one.is_too_long) for one in found] == [(1, False), (2, True), (3, False), (4, True)]
    assert all(len(one.text) <= 11 for one in found)
    assert found[-1].end == 10 + 96 + 3 + 11
    with pytest.raises(BadLineError, match="is longer than"):
        event_of_line(found[1])
