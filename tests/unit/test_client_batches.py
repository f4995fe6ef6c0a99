"""Many events in calls of bounded size."""

from typing import Any

import pytest
from google.rpc import status_pb2

from trimem.client import (
    AlreadyExistsError,
    Event,
    ImportSummary,
    InternalError,
    InvalidArgumentError,
    NewEvent,
    ResourceExhaustedError,
    TrimemError,
    UnavailableError,
)
from trimem.client.batches import MOST_BYTES, MOST_ERRORS, MOST_EVENTS, Batch, tally
from trimem.client.errors import BY_CODE
from trimem.store.v1 import event_service_pb2 as pb

GOOD = NewEvent(content={"text": "tea"})
BAD = NewEvent(content={"n": 2**60})


def batch_of(*events: NewEvent) -> Batch:
    batch = Batch()
    assert all(batch.add(event) for event in events)
    return batch


def test_a_batch_ends_with_so_many_events_or_bytes() -> None:
    batch = batch_of(*[GOOD, BAD] * (MOST_EVENTS // 2))
    assert not batch.add(GOOD)
    assert len(batch) == MOST_EVENTS
    large = NewEvent(content={"text": "x" * (MOST_BYTES - 1000)})
    batch = batch_of(GOOD, large)
    assert not batch.add(large)
    assert len(batch) == 2


def test_an_event_of_any_size_gets_into_an_empty_batch() -> None:
    batch = batch_of(NewEvent(content={"text": "x" * 2 * MOST_BYTES}))
    assert not batch.add(GOOD)


def test_events_without_a_name_get_one_so_that_a_call_can_be_made_again() -> None:
    request: Any = batch_of(GOOD, NewEvent(content={"a": 1}, id="mine"), GOOD).call(1).request
    first, second, third = request.requests
    assert len({first.request_id, third.request_id}) == 2
    assert (second.event.id, second.request_id) == ("mine", "")


def test_results_are_in_the_places_of_their_events() -> None:
    call = batch_of(BAD, GOOD, BAD, GOOD, GOOD).call(1)
    answer = pb.BatchCreateEventsResponse(
        results=[
            pb.BatchCreateEventsResult(event=pb.Event(id="1")),
            pb.BatchCreateEventsResult(error=status_pb2.Status(code=6, message="it is there")),
            pb.BatchCreateEventsResult(event=pb.Event(id="4")),
        ]
    )
    results = call.read(answer)
    kinds = [InvalidArgumentError, Event, InvalidArgumentError, AlreadyExistsError, Event]
    assert [type(result) for result in results] == kinds


def test_a_batch_of_what_no_message_can_hold_asks_nobody() -> None:
    call = batch_of(BAD, BAD).call(1)
    assert call.request is None
    assert [type(result) for result in call.read(None)] == [InvalidArgumentError, InvalidArgumentError]


def test_an_answer_with_too_few_results_is_an_error() -> None:
    with pytest.raises(InternalError, match="answered 0 of 2 events"):
        batch_of(GOOD, GOOD).call(1).read(pb.BatchCreateEventsResponse())


def test_a_call_that_is_refused_because_of_its_only_event_is_the_fate_of_that() -> None:
    error = ResourceExhaustedError("too large")
    results = batch_of(BAD, GOOD).call(1).settle(error, 1)
    assert [type(result) for result in results] == [InvalidArgumentError, ResourceExhaustedError]


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([GOOD, GOOD], ResourceExhaustedError("too large")),
        ([GOOD], UnavailableError("gone")),
        ([GOOD], ResourceExhaustedError("slow down", retry_after=1)),
    ],
)
def test_what_concerns_all_events_is_raised(events: list[NewEvent], error: TrimemError) -> None:
    with pytest.raises(type(error)):
        batch_of(*events).call(1).settle(error, 1)


def test_a_summary_counts_and_names_the_first_that_failed() -> None:
    event = (
        batch_of(GOOD)
        .call(1)
        .read(
            pb.BatchCreateEventsResponse(
                results=[
                    pb.BatchCreateEventsResult(event=pb.Event(id="1", embedding_state=pb.EMBEDDING_STATE_PENDING)),
                ]
            )
        )
    )
    summary = tally(ImportSummary(), [*event, AlreadyExistsError("there"), InvalidArgumentError("wrong")])
    assert (summary.stored, summary.existing, summary.failed, summary.pending) == (1, 1, 1, 1)
    assert [place for place, _ in summary.errors] == [2]
    summary = tally(summary, [*event, InvalidArgumentError("wrong")])
    assert summary.settled == 5
    assert [place for place, _ in summary.errors] == [2, 4]
    for _ in range(MOST_ERRORS):
        summary = tally(summary, [InvalidArgumentError("wrong")])
    assert len(summary.errors) == MOST_ERRORS
    assert summary.failed == 2 + MOST_ERRORS


def test_every_error_has_a_code_of_its_own() -> None:
    assert len(BY_CODE) == len(TrimemError.__subclasses__())
