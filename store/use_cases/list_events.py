"""Paging through events."""

from dataclasses import dataclass

from store.events import Event, EventFilter, Position
from store.repositories.events import EventRepository
from store.use_cases import page_tokens
from store.use_cases.event_rules import accept_filter, accept_page_size
from store.use_cases.page_bytes import PAGE_BYTES, event_bytes

DEFAULT_PAGE = 50
LARGEST_PAGE = 1000

#: Events read at a time: a few, as they may be large, and more when the first ones turn out to be small. A page of
#: large ones must not fill the memory before it is cut.
_READ_FIRST = 20
_READ = 200


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, newest first, and the token of the next page; empty on the last one."""

    events: list[Event]
    next_page_token: str


class ListEvents:
    """Lists events by position, so that writes between two pages make nothing come twice or get lost."""

    def __init__(self, events: EventRepository) -> None:
        self._events = events

    async def run(self, matching: EventFilter, page_size: int, page_token: str) -> EventPage:
        """One page. Raises InvalidArgumentError for `page_size`, `page_token`, `metadata_filter` or `end_time`."""
        size = accept_page_size(page_size, default=DEFAULT_PAGE, most=LARGEST_PAGE)
        accept_filter(matching)
        after = page_tokens.decode(page_token, matching) if page_token else None
        events: list[Event] = []
        room = PAGE_BYTES
        read = _READ_FIRST
        while True:
            wanted = min(size + 1 - len(events), read)
            found = await self._events.page(matching, after, wanted)
            for event in found:
                room -= event_bytes(event)
                if len(events) == size or (events and room < 0):  # there is more than this page holds
                    return EventPage(events, page_tokens.encode(_position(events[-1]), matching))
                events.append(event)
            if len(found) < wanted:
                return EventPage(events, "")
            after = _position(events[-1])
            used = PAGE_BYTES - room
            read = min(len(events) * max(room, 0) // used + 1, _READ)  # as many as may fit, and one that tells


def _position(event: Event) -> Position:
    return Position(event.timestamp, event.id)
