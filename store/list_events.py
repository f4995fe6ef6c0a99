"""Paging through events."""

from dataclasses import dataclass

from store import page_tokens
from store.event_rules import accept_filter, accept_page_size
from store.events import Event, EventFilter, Position
from store.repositories.events import EventRepository

DEFAULT_PAGE = 50
LARGEST_PAGE = 1000


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
        events = await self._events.page(matching, after, size + 1)  # one more tells whether there is a next page
        if len(events) <= size:
            return EventPage(events, "")
        last = events[size - 1]
        return EventPage(events[:size], page_tokens.encode(Position(last.timestamp, last.id), matching))
