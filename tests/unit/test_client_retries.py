"""When a client tries again."""

import pickle

import grpc
import pytest

from trimem.client import (
    AbortedError,
    DeadlineExceededError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    RetryPolicy,
    TrimemError,
    UnavailableError,
)

POLICY = RetryPolicy(attempts=10, first_pause=1, longest_pause=8)


def test_pauses_double_up_to_the_longest_and_differ() -> None:
    for attempt, most in enumerate([1, 2, 4, 8, 8, 8], start=1):
        pauses = [POLICY.pause(attempt, UnavailableError("gone"), 100) for _ in range(100)]
        assert all(pause is not None and most / 2 <= pause <= most for pause in pauses)
        assert len(set(pauses)) > 50


def test_never_sooner_than_the_server_says_and_not_much_later() -> None:
    for error in (ResourceExhaustedError("busy", retry_after=3), AbortedError("busy", retry_after=3)):
        pauses = [POLICY.pause(1, error, 100) for _ in range(100)]
        assert all(pause is not None and 3 <= pause <= 4 for pause in pauses)
        assert len(set(pauses)) > 50


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgumentError("wrong"),
        NotFoundError("nothing"),
        InternalError("broken"),
        DeadlineExceededError("too late"),
        ResourceExhaustedError("too large"),
        AbortedError("lost"),
        TrimemError("what"),
    ],
)
def test_what_does_not_pass_by_itself_is_final(error: TrimemError) -> None:
    assert POLICY.pause(1, error, 100) is None


def test_the_last_attempt_and_the_end_of_the_time_are_final() -> None:
    assert POLICY.pause(9, UnavailableError("gone"), 100) is not None
    assert POLICY.pause(10, UnavailableError("gone"), 100) is None
    assert POLICY.pause(1, UnavailableError("gone"), 0.4) is None
    assert POLICY.pause(1, UnavailableError("gone", retry_after=50), 49) is None


def test_pauses_of_many_attempts_are_numbers() -> None:
    assert RetryPolicy(attempts=10_000).pause(9_000, UnavailableError("gone"), 100) is not None


def test_errors_travel_between_processes() -> None:
    error = InvalidArgumentError("wrong", violations=[FieldViolation("a.b", "is odd")], request_id="r", retry_after=1.5)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is InvalidArgumentError
    assert str(copy) == "wrong"
    assert (copy.code, copy.violations, copy.request_id, copy.retry_after) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        error.violations,
        "r",
        1.5,
    )
