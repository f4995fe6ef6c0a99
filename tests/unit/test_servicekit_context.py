"""Request ids that may be trusted, and the time that is left."""

import re
import time
from collections.abc import Iterator

import pytest

from servicekit import context
from servicekit.errors import DeadlineExceededError


@pytest.fixture(autouse=True)
def own_context() -> Iterator[None]:
    identity, at = context.request_id.set(""), context.deadline.set(None)
    yield
    context.request_id.reset(identity)
    context.deadline.reset(at)


@pytest.mark.parametrize("plain", ["a", "x" * 128, "0198f3c2-7d1e-7abc-8def-0123456789ab", "trace/1:span=2+3_."])
def test_a_plain_request_id_is_accepted(plain: str) -> None:
    assert context.accept_request_id(plain) == plain


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "x" * 129,
        "x" * 10_000,
        "a\nb",
        "a\n",
        "a\r\nx-evil: 1",
        "a b",
        "a\x00",
        "naïve",
        "\u202e",
        '"',
        b"abc",
        None,
        7,
    ],
)
def test_a_hostile_request_id_is_replaced_by_a_new_one(hostile: object) -> None:
    first, second = context.accept_request_id(hostile), context.accept_request_id(hostile)
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def test_remaining_is_none_without_a_deadline() -> None:
    assert context.remaining() is None


def test_outgoing_without_a_caller_has_the_default_time_and_no_metadata() -> None:
    assert context.outgoing(10) == {"timeout": 10, "metadata": ()}


def test_outgoing_hands_on_the_request_id() -> None:
    context.request_id.set("abc")
    assert context.outgoing(10)["metadata"] == (("x-request-id", "abc"),)


@pytest.mark.parametrize(
    ("default", "left", "expected"), [(10, 100, 10), (10, 5, 5 - context.DEADLINE_MARGIN_SECONDS), (10, 1e9, 10)]
)
def test_outgoing_gives_the_default_or_what_is_left_if_that_is_less(
    monkeypatch: pytest.MonkeyPatch, default: float, left: float, expected: float
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    context.deadline.set(1000.0 + left)
    assert context.outgoing(default)["timeout"] == pytest.approx(expected)


@pytest.mark.parametrize("left", [context.DEADLINE_MARGIN_SECONDS, 0.0, -5.0])
def test_outgoing_refuses_when_nothing_is_left(monkeypatch: pytest.MonkeyPatch, left: float) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    context.deadline.set(1000.0 + left)
    with pytest.raises(DeadlineExceededError):
        context.outgoing(10)
