"""Storing events: one or many, the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias

from servicekit.errors import InvalidArgumentError, ResourceExhaustedError, TrimemError, UnavailableError
from servicekit.off_loop import off_loop
from store.errors import EventAlreadyExistsError, TimesRefusedError
from store.events import Event, EventDraft, GivenVector, NewEvent
from store.partitions import horizon
from store.repositories.events import REPEATED_BYTES, EventRepository, KnownKeys
from store.use_cases.embed_events import EmbeddedEvents, EmbedEvents
from store.use_cases.event_rules import accept_draft, accept_given_vector

MOST_EVENTS = 1000

#: Rounds of look up and store. The second settles keys that came twice in a batch or were taken by somebody else
#: since the first look; more are needed only when they are taken again and again.
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """An event that is stored."""

    event: Event
    #: Its `request_id` had been stored before.
    is_repeated: bool = False


#: What an event may well have.
_EVENT_BYTES = 1024

#: What became of one draft.
Result: TypeAlias = Stored | TrimemError


@dataclass(frozen=True, slots=True)
class _Wanted:
    event: NewEvent
    #: Whether the caller chose the id; one that we made is new.
    id_is_given: bool
    vector: GivenVector | None


@dataclass(slots=True)
class Batch:
    """Events on their way in."""

    #: Bytes of stored events that the results may carry; None when nobody looks at what they contain.
    room: int | None = REPEATED_BYTES
    results: dict[int, Result] = field(default_factory=dict)
    waiting: dict[int, _Wanted] = field(default_factory=dict)
    #: Places of events with distinct keys, and what they are found by: what the next write takes.
    ready: tuple[list[int], EmbeddedEvents] | None = None

    def settle(self, results: Mapping[int, Result]) -> None:
        """Note what became of some."""
        self.results.update(results)
        for place in results:
            self.waiting.pop(place, None)


class CreateEvents:
    """Checks events, embeds their texts together, and stores them in one transaction.

    The outcome for each event is as if it had been created alone, after those before it.
    """

    def __init__(self, events: EventRepository, embed: EmbedEvents, retention_months: int = 0) -> None:
        """Events of months before the last `retention_months` are refused, as they are dropped; 0 is no limit."""
        self._events = events
        self._embed = embed
        self._retention_months = retention_months

    async def one(self, draft: EventDraft) -> Event:
        """Store an event. Raises what is wrong with it, or what stands in its way."""
        [result] = await self.finish(await self.prepare([draft]))
        if isinstance(result, TrimemError):
            raise result
        return result.event

    async def batch(self, drafts: Sequence[EventDraft | InvalidArgumentError]) -> list[Result]:
        """Store up to MOST_EVENTS events; a draft that could not be read is given as its error.

        Returns for each the stored event or why it was not stored. Raises what concerns all of them: nothing new is
        stored then, or, when a retry is needed to know, it can be repeated with the same request ids.
        """
        if not 1 <= len(drafts) <= MOST_EVENTS:
            raise InvalidArgumentError("requests", f"must be 1 to {MOST_EVENTS}, and are {len(drafts)}")
        return await self.finish(await self.prepare(drafts))

    async def prepare(self, drafts: Sequence[EventDraft | InvalidArgumentError], *, is_counted: bool = False) -> Batch:
        """Check events and embed their texts; writes nothing. Raises as `batch`.

        Results that are only counted spare the contents of events that were stored before.
        """
        now = datetime.now(UTC)
        oldest = horizon(now, self._retention_months)
        batch = await off_loop(len(drafts) * _EVENT_BYTES, lambda: _accepted(drafts, now, oldest))
        if is_counted:
            batch.room = None
        await self._embed.in_recorded_space(partial(self._make_ready, batch))
        return batch

    async def finish(self, batch: Batch) -> list[Result]:
        """Store what was prepared. Returns and raises as `batch`."""
        rounds = 0
        while batch.waiting:
            if rounds == _ROUNDS:
                raise UnavailableError("other calls keep writing the same keys")
            rounds += 1
            await self._embed.in_recorded_space(partial(self._write, batch))
        return [batch.results[place] for place in sorted(batch.results)]

    async def _make_ready(self, batch: Batch) -> tuple[list[int], EmbeddedEvents]:
        """Settle what is stored already, so that a repeated call costs no embedding, and embed the rest."""
        batch.settle(_settled(batch.waiting, await self._look_up(batch)))
        places = _distinct(batch.waiting)
        given = {n: vector for n, place in enumerate(places) if (vector := batch.waiting[place].vector) is not None}
        events = [batch.waiting[place].event for place in places]
        batch.ready = (places, await self._embed.run(events, given))
        return batch.ready

    async def _write(self, batch: Batch) -> None:
        """Store events of distinct keys. Leaves waiting those whose keys somebody else took meanwhile."""
        places, embedded = batch.ready or await self._make_ready(batch)
        batch.ready = None
        outcomes = dict(zip(places, embedded.outcomes, strict=True))
        fresh = {place: one for place, one in outcomes.items() if not isinstance(one, TrimemError)}
        batch.settle({place: one for place, one in outcomes.items() if isinstance(one, TrimemError)})
        try:
            stored = await self._events.create(list(fresh.values()), embedded.space) if fresh else []
        except TimesRefusedError as error:  # the others come with the next round
            batch.settle({place: error for place, one in fresh.items() if one.timestamp in error.times})
            return
        batch.settle({place: Stored(event) for place, event in zip(fresh, stored, strict=True) if event is not None})

    async def _look_up(self, batch: Batch) -> KnownKeys:
        waiting = batch.waiting.values()
        return await self._events.known(
            [one.event.request_id for one in waiting if one.event.request_id is not None],
            [one.event.id for one in waiting if one.id_is_given],
            batch.room,
        )


def _accepted(drafts: Sequence[EventDraft | InvalidArgumentError], now: datetime, oldest: datetime | None) -> Batch:
    batch = Batch()
    for place, draft in enumerate(drafts):
        try:
            if isinstance(draft, InvalidArgumentError):
                raise draft
            batch.waiting[place] = _Wanted(accept_draft(draft, now, oldest), bool(draft.id), accept_given_vector(draft))
        except InvalidArgumentError as error:
            batch.results[place] = error
    return batch


def _settled(waiting: Mapping[int, _Wanted], known: KnownKeys) -> dict[int, Result]:
    results: dict[int, Result] = {}
    for place, wanted in waiting.items():
        event = wanted.event
        if event.request_id is not None and event.request_id in known.by_request:
            results[place] = Stored(known.by_request[event.request_id], is_repeated=True)
        elif event.request_id in known.unread:
            results[place] = ResourceExhaustedError(
                "the event of this request_id is stored, and too large to be answered beside the others: retry with "
                "fewer requests at once"
            )
        elif event.request_id in known.deleted:
            results[place] = EventAlreadyExistsError("the event that this request_id wrote was deleted")
        elif event.id in known.ids:
            results[place] = EventAlreadyExistsError(f"an event with the id {event.id} exists")
        elif event.id in known.deleted:
            results[place] = EventAlreadyExistsError(f"the event with the id {event.id} was deleted")
    return results


def _distinct(waiting: Mapping[int, _Wanted]) -> list[int]:
    """The places of the first event of every key; the others wait for what becomes of it."""
    chosen: list[int] = []
    taken: set[object] = set()
    for place, wanted in waiting.items():
        keys = {wanted.event.id, wanted.event.request_id} - {None}
        if not keys & taken:
            chosen.append(place)
            taken |= keys
    return chosen
