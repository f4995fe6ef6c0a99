"""Many events in calls of bounded size, with a result for each event."""

from uuid import uuid4

from trimem.client import conversion
from trimem.client.calls import Call
from trimem.client.errors import (
    AlreadyExistsError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    TrimemError,
)
from trimem.client.statuses import error_of_status
from trimem.client.types import EmbeddingState, Event, ImportSummary, NewEvent
from trimem.store.v1 import event_service_pb2 as pb

#: Events of a call, unless their bytes are too many before. Enough for the embedder to fill its batches, and few enough
#: to be embedded by a slow one within the timeout of a call.
MOST_EVENTS = 128
MOST_BYTES = 2 * 1024 * 1024

#: Events that failed and are named in a summary.
MOST_ERRORS = 100


class Batch:
    """Events on their way into one BatchCreateEvents."""

    def __init__(self) -> None:
        self._request = pb.BatchCreateEventsRequest()
        self._bytes = 0
        #: By place, what no message can hold.
        self._refused: dict[int, TrimemError] = {}

    def __len__(self) -> int:
        return len(self._request.requests) + len(self._refused)

    def add(self, event: NewEvent) -> bool:
        """Take an event; False when it belongs into the next batch."""
        if len(self) == MOST_EVENTS:
            return False
        try:
            request = conversion.create_request(event)
        except InvalidArgumentError as error:
            self._refused[len(self)] = error
            return True
        if not (request.request_id or request.event.id):
            request.request_id = uuid4().hex  # so that the call may be made again
        size = request.ByteSize()
        if self._bytes and self._bytes + size > MOST_BYTES:
            return False
        self._request.requests.append(request)
        self._bytes += size
        return True

    def call(self, timeout: float) -> Call[list[Event | TrimemError]]:
        """The call that stores them; its result has one for each event, in order."""
        return Call(
            "BatchCreateEvents", self._request if self._request.requests else None, self._read, timeout, self._settle
        )

    def _read(self, answer: pb.BatchCreateEventsResponse | None) -> list[Event | TrimemError]:
        results = () if answer is None else answer.results
        if len(results) != len(self._request.requests):
            raise InternalError(f"the server answered {len(results)} of {len(self._request.requests)} events")
        answered = iter(results)
        return [self._refused.get(place) or _result(next(answered)) for place in range(len(self))]

    def _settle(self, error: TrimemError, _attempt: int) -> list[Event | TrimemError]:
        """A call of one event that is refused for its size or form says so of that event, and stops no other."""
        is_about_it = isinstance(error, InvalidArgumentError) or (
            isinstance(error, ResourceExhaustedError) and error.retry_after is None
        )
        if not (is_about_it and len(self._request.requests) == 1):
            raise error
        return [self._refused.get(place, error) for place in range(len(self))]


def tally(summary: ImportSummary, results: list[Event | TrimemError]) -> ImportSummary:
    """The summary with the next results counted."""
    stored = [result for result in results if isinstance(result, Event)]
    failed = [
        (summary.settled + place, result)
        for place, result in enumerate(results)
        if isinstance(result, TrimemError) and not isinstance(result, AlreadyExistsError)
    ]
    return ImportSummary(
        stored=summary.stored + len(stored),
        existing=summary.existing + len(results) - len(stored) - len(failed),
        failed=summary.failed + len(failed),
        pending=summary.pending + sum(event.embedding_state is EmbeddingState.PENDING for event in stored),
        errors=(*summary.errors, *failed)[:MOST_ERRORS],
    )


def _result(message: pb.BatchCreateEventsResult) -> Event | TrimemError:
    return error_of_status(message.error) if message.HasField("error") else conversion.event_of(message.event)
