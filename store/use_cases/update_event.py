"""Changing one event."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from servicekit.errors import InvalidArgumentError, TrimemError
from store.errors import EventNotFoundError
from store.events import Event, Json, NewEvent
from store.repositories.events import EventChange, EventRepository
from store.use_cases.embed_events import EmbedEvents
from store.use_cases.event_rules import accept_content, accept_id, accept_metadata

_PARTS = frozenset({"content", "metadata"})


@dataclass(frozen=True, slots=True)
class EventUpdate:
    """What a caller wants to change, not yet checked."""

    id: str
    #: None when it is not set.
    content: Json | None = None
    metadata: Json | None = None
    #: `content`, `metadata`, `*` for both; empty for those that are set.
    mask: tuple[str, ...] = ()


class UpdateEvent:
    """Changes the content of an event, with all that follows from it, or its metadata, or both.

    New values take the place of old ones as a whole, so that of several updates at once the last one wins.
    """

    def __init__(self, events: EventRepository, embed: EmbedEvents) -> None:
        self._events = events
        self._embed = embed

    async def run(self, update: EventUpdate) -> Event:
        """The event as it is then. Raises InvalidArgumentError, EventNotFoundError, AbortedError.

        A new content is embedded as that of a new event, and raises the same.
        """
        event_id = accept_id("event.id", update.id)
        parts = _accept_parts(update)
        metadata = accept_metadata(update.metadata or {}) if "metadata" in parts else None
        if "content" in parts:
            content = accept_content(update.content)
            if await self._events.get(event_id) is None:  # before it costs an embedding
                raise EventNotFoundError(event_id)
            changed = await self._embed.in_recorded_space(partial(self._rewrite, event_id, content, metadata))
        else:
            changed = await self._events.update(event_id, EventChange(metadata=metadata), None)
        if changed is None:
            raise EventNotFoundError(event_id)
        return changed

    async def _rewrite(self, event_id: UUID, content: Json, metadata: Json | None) -> Event | None:
        # Embedded outside of the transaction: nobody waits for the embedder with a lock in hand.
        embedded = await self._embed.run([NewEvent(event_id, datetime.now(UTC), content, {})], {})
        [outcome] = embedded.outcomes
        if isinstance(outcome, TrimemError):
            raise outcome
        return await self._events.update(event_id, EventChange(outcome, metadata), embedded.space)


def _accept_parts(update: EventUpdate) -> frozenset[str]:
    if "*" in update.mask:
        return _PARTS
    if wrong := [path for path in update.mask if path not in _PARTS]:
        raise InvalidArgumentError("update_mask", f"may name content and metadata, and names {wrong[0][:100]}")
    set_parts = {"content": update.content, "metadata": update.metadata}
    parts = frozenset(update.mask or (name for name, value in set_parts.items() if value is not None))
    if not parts:
        raise InvalidArgumentError("update_mask", "is empty, and the event has neither content nor metadata")
    return parts
