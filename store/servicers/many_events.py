"""Messages about many events, each with a fate of its own."""

from collections.abc import Sequence

from servicekit import context
from servicekit.errors import InvalidArgumentError, TrimemError
from servicekit.status import to_status
from store.events import EventDraft
from store.servicers.conversion import draft_of, write_event
from store.use_cases.create_events import MOST_EVENTS, Result
from store.use_cases.import_events import ImportItem, ImportSummary
from trimem.store.v1 import event_service_pb2 as pb


def draft_or_error(request: pb.CreateEventRequest) -> EventDraft | InvalidArgumentError:
    """The event of a request, or what is wrong with it."""
    try:
        return draft_of(request)
    except InvalidArgumentError as error:
        return error


def batch_response(results: Sequence[Result]) -> pb.BatchCreateEventsResponse:
    """What became of each event of a batch."""
    response = pb.BatchCreateEventsResponse()
    for result in results:
        added = response.results.add()
        if isinstance(result, TrimemError):
            added.error.CopyFrom(to_status(result, context.request_id.get()))
        else:
            write_event(result.event, added.event)
    return response


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
