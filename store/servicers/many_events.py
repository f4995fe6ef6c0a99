"""Messages about many events, each with a fate of its own."""

from servicekit import context
from servicekit.errors import InvalidArgumentError, TrimemError
from servicekit.status import to_status
from store.events import EventDraft
from store.servicers.conversion import draft_of, event_message
from store.use_cases.create_events import MOST_EVENTS, Result
from store.use_cases.import_events import ImportItem, ImportSummary
from trimem.store.v1 import event_service_pb2 as pb


def draft_or_error(request: pb.CreateEventRequest) -> EventDraft | InvalidArgumentError:
    """The event of a request, or what is wrong with it."""
    try:
        return draft_of(request)
    except InvalidArgumentError as error:
        return error


def result_message(result: Result) -> pb.BatchCreateEventsResult:
    """What became of one event of a batch."""
    if isinstance(result, TrimemError):
        return pb.BatchCreateEventsResult(error=to_status(result, context.request_id.get()))
    return pb.BatchCreateEventsResult(event=event_message(result.event))


def import_items(request: pb.ImportEventsRequest) -> list[ImportItem]:
    """The events of one message of a stream. One with too many is wrong, and the stream goes on."""
    count = len(request.requests)
    if count > MOST_EVENTS:
        error = InvalidArgumentError("requests", f"must be 1 to {MOST_EVENTS} in a message, and are {count}")
        return [ImportItem(error, 0)] * count
    return [ImportItem(draft_or_error(one), one.ByteSize()) for one in request.requests]


def import_response(summary: ImportSummary) -> pb.ImportEventsResponse:
    """What became of all events of a stream."""
    return pb.ImportEventsResponse(
        settled_count=summary.settled,
        stored_count=summary.stored,
        repeated_count=summary.repeated,
        failed_count=summary.failed,
        pending_count=summary.pending,
        errors=[
            pb.ImportEventsError(index=place, error=to_status(error, context.request_id.get()))
            for place, error in summary.errors
        ],
    )
