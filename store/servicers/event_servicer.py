"""EventService: messages in, use cases, messages out."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from servicekit.off_loop import off_loop
from servicekit.streams import complete
from store.servicers.conversion import (
    draft_of,
    event_message,
    filter_of,
    search_message,
    search_of,
    update_of,
    write_event,
)
from store.servicers.many_events import batch_response, draft_or_error, import_items, import_response
from store.use_cases.create_events import CreateEvents
from store.use_cases.delete_event import DeleteEvent
from store.use_cases.get_event import GetEvent
from store.use_cases.import_events import ImportEvents, ImportItem
from store.use_cases.list_events import ListEvents
from store.use_cases.search_events import SearchEvents
from store.use_cases.update_event import UpdateEvent
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc


@dataclass(frozen=True, slots=True)
class EventUseCases:
    """What the calls do."""

    create: CreateEvents
    importing: ImportEvents
    update: UpdateEvent
    delete: DeleteEvent
    get: GetEvent
    listing: ListEvents
    search: SearchEvents


class EventServicer(rpc.EventServiceServicer):
    """Thin on purpose: what a call does is in its use case."""

    def __init__(self, use_cases: EventUseCases) -> None:
        self._do = use_cases

    async def CreateEvent(self, request: pb.CreateEventRequest, _context: Any) -> pb.CreateEventResponse:
        """See event_service.proto."""
        return pb.CreateEventResponse(event=event_message(await self._do.create.one(draft_of(request))))

    async def BatchCreateEvents(
        self, request: pb.BatchCreateEventsRequest, _context: Any
    ) -> pb.BatchCreateEventsResponse:
        """See event_service.proto."""
        size = request.ByteSize()
        drafts = await off_loop(size, lambda: [draft_or_error(one) for one in request.requests])
        results = await self._do.create.batch(drafts)
        return await off_loop(size, partial(batch_response, results))

    async def ImportEvents(
        self, requests: AsyncIterator[pb.ImportEventsRequest], context: Any
    ) -> pb.ImportEventsResponse:
        """See event_service.proto."""
        return import_response(await self._do.importing.run(_items(complete(requests, context.cancelled))))

    async def UpdateEvent(self, request: pb.UpdateEventRequest, _context: Any) -> pb.UpdateEventResponse:
        """See event_service.proto."""
        return pb.UpdateEventResponse(event=event_message(await self._do.update.run(update_of(request))))

    async def DeleteEvent(self, request: pb.DeleteEventRequest, _context: Any) -> pb.DeleteEventResponse:
        """See event_service.proto."""
        await self._do.delete.run(request.id)
        return pb.DeleteEventResponse()

    async def GetEvent(self, request: pb.GetEventRequest, _context: Any) -> pb.GetEventResponse:
        """See event_service.proto."""
        return pb.GetEventResponse(event=event_message(await self._do.get.run(request.id)))

    async def ListEvents(self, request: pb.ListEventsRequest, _context: Any) -> pb.ListEventsResponse:
        """See event_service.proto."""
        page = await self._do.listing.run(filter_of(request), request.page_size, request.page_token)
        response = pb.ListEventsResponse(next_page_token=page.next_page_token)
        for event in page.events:
            write_event(event, response.events.add())
        return response

    async def SearchEvents(self, request: pb.SearchEventsRequest, _context: Any) -> pb.SearchEventsResponse:
        """See event_service.proto."""
        return search_message(await self._do.search.run(search_of(request)))


async def _items(requests: AsyncIterator[pb.ImportEventsRequest]) -> AsyncIterator[ImportItem]:
    async for request in requests:
        for item in await off_loop(request.ByteSize(), partial(import_items, request)):
            yield item
