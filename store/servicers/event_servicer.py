"""EventService: messages in, use cases, messages out."""

from typing import Any

from servicekit import context
from servicekit.errors import InvalidArgumentError, TrimemError, UnimplementedError
from servicekit.status import to_status
from store.events import EventDraft
from store.servicers.conversion import draft_of, event_message, filter_of, hit_message, search_of
from store.use_cases.create_events import CreateEvents, Result
from store.use_cases.get_event import GetEvent
from store.use_cases.list_events import ListEvents
from store.use_cases.search_events import SearchEvents
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc


class EventServicer(rpc.EventServiceServicer):
    """Thin on purpose: what a call does is in its use case."""

    def __init__(self, create: CreateEvents, get: GetEvent, listing: ListEvents, search: SearchEvents) -> None:
        self._create = create
        self._get = get
        self._list = listing
        self._search = search

    async def CreateEvent(self, request: pb.CreateEventRequest, _context: Any) -> pb.CreateEventResponse:
        """See event_service.proto."""
        return pb.CreateEventResponse(event=event_message(await self._create.one(draft_of(request))))

    async def BatchCreateEvents(
        self, request: pb.BatchCreateEventsRequest, _context: Any
    ) -> pb.BatchCreateEventsResponse:
        """See event_service.proto."""
        results = await self._create.batch([_draft_or_error(one) for one in request.requests])
        return pb.BatchCreateEventsResponse(results=[_result_message(one) for one in results])

    async def ImportEvents(self, _requests: Any, _context: Any) -> pb.ImportEventsResponse:
        """See event_service.proto."""
        raise UnimplementedError("ImportEvents is not there yet")

    async def UpdateEvent(self, _request: pb.UpdateEventRequest, _context: Any) -> pb.UpdateEventResponse:
        """See event_service.proto."""
        raise UnimplementedError("UpdateEvent is not there yet")

    async def DeleteEvent(self, _request: pb.DeleteEventRequest, _context: Any) -> pb.DeleteEventResponse:
        """See event_service.proto."""
        raise UnimplementedError("DeleteEvent is not there yet")

    async def GetEvent(self, request: pb.GetEventRequest, _context: Any) -> pb.GetEventResponse:
        """See event_service.proto."""
        return pb.GetEventResponse(event=event_message(await self._get.run(request.id)))

    async def ListEvents(self, request: pb.ListEventsRequest, _context: Any) -> pb.ListEventsResponse:
        """See event_service.proto."""
        page = await self._list.run(filter_of(request), request.page_size, request.page_token)
        return pb.ListEventsResponse(
            events=[event_message(event) for event in page.events], next_page_token=page.next_page_token
        )

    async def SearchEvents(self, request: pb.SearchEventsRequest, _context: Any) -> pb.SearchEventsResponse:
        """See event_service.proto."""
        hits = await self._search.run(search_of(request))
        return pb.SearchEventsResponse(hits=[hit_message(hit) for hit in hits], mode=pb.SEARCH_MODE_VECTOR)


def _draft_or_error(request: pb.CreateEventRequest) -> EventDraft | InvalidArgumentError:
    try:
        return draft_of(request)
    except InvalidArgumentError as error:
        return error


def _result_message(result: Result) -> pb.BatchCreateEventsResult:
    if isinstance(result, TrimemError):
        return pb.BatchCreateEventsResult(error=to_status(result, context.request_id.get()))
    return pb.BatchCreateEventsResult(event=event_message(result))
