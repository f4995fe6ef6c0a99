"""Page tokens."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import InvalidArgumentError
from store.events import EventFilter, Position
from store.far_times import microseconds_of, time_at
from store.use_cases import page_tokens

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FILTER = EventFilter(metadata={"a": [1, {"b": "ü"}]}, start_time=NOON)


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_token_holds_its_position(timestamp: datetime, identity: UUID) -> None:
    position = Position(timestamp, identity)

    token = page_tokens.encode(position, FILTER)

    assert page_tokens.decode(token, FILTER) == position
    assert token.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("microseconds", [2**63 - 1, -(2**63), -(10**17), 3 * 10**17])
def test_a_token_holds_a_time_that_python_cannot(microseconds: int) -> None:
    token = page_tokens.encode(Position(time_at(microseconds), UUID(int=1)), FILTER)

    assert microseconds_of(page_tokens.decode(token, FILTER).timestamp) == microseconds


@pytest.mark.parametrize("microseconds", [2**63, -(2**63) - 1, 2**63 - 2, -(2**63) + 1, 10**100])
def test_a_time_that_postgresql_cannot_hold_is_refused(microseconds: int) -> None:
    token = page_tokens.encode(Position(time_at(microseconds), UUID(int=1)), FILTER)

    with pytest.raises(InvalidArgumentError):
        page_tokens.decode(token, FILTER)


@given(st.text() | st.binary().map(lambda raw: raw.hex()) | st.from_regex(r"[A-Za-z0-9_=-]{0,80}"))
def test_whatever_a_caller_sends_is_refused_by_name(token: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        page_tokens.decode(token, FILTER)

    assert caught.value.violations[0].field == "page_token"


@pytest.mark.parametrize(
    "other",
    [
        EventFilter(),
        EventFilter(metadata={"a": [1, {"b": "u"}]}, start_time=NOON),
        EventFilter(metadata=FILTER.metadata, start_time=NOON + timedelta(microseconds=1)),
        EventFilter(metadata=FILTER.metadata, end_time=NOON),
    ],
)
def test_a_token_fits_no_other_filter(other: EventFilter) -> None:
    token = page_tokens.encode(Position(NOON, UUID(int=1)), FILTER)

    with pytest.raises(InvalidArgumentError, match="other filters"):
        page_tokens.decode(token, other)


def test_the_same_filter_in_other_words_fits() -> None:
    one = EventFilter(metadata={"a": 1, "b": 2}, start_time=NOON)
    same = EventFilter(metadata={"b": 2, "a": 1}, start_time=NOON.astimezone(timezone(timedelta(hours=9))))
    position = Position(NOON, UUID(int=1))

    assert page_tokens.decode(page_tokens.encode(position, one), same) == position
