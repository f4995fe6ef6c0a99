"""Removing one event."""

from store.errors import EventNotFoundError
from store.repositories.events import EventRepository
from store.use_cases.event_rules import accept_id


class DeleteEvent:
    """Removes an event for good; its keys stay taken for a while, so that a late retry does not bring it back."""

    def __init__(self, events: EventRepository) -> None:
        self._events = events

    async def run(self, identity: str) -> None:
        """Remove it. Raises InvalidArgumentError for `id`, EventNotFoundError."""
        event_id = accept_id("id", identity)
        if not await self._events.delete(event_id):
            raise EventNotFoundError(event_id)
