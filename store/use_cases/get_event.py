"""Reading one event."""

from store.errors import EventNotFoundError
from store.events import Event
from store.repositories.events import EventRepository
from store.use_cases.event_rules import accept_id


class GetEvent:
    """Finds an event by its id."""

    def __init__(self, events: EventRepository) -> None:
        self._events = events

    async def run(self, identity: str) -> Event:
        """The event. Raises InvalidArgumentError for `id`, EventNotFoundError."""
        event_id = accept_id("id", identity)
        event = await self._events.get(event_id)
        if event is None:
            raise EventNotFoundError(event_id)
        return event
