"""Storing events: one or many, the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from servicekit.errors import InvalidArgumentError, TrimemError, UnavailableError
from store.errors import EventAlreadyExistsError, TextsRefusedError
from store.events import EmbeddingSpace, EmbeddingState, Event, EventDraft, FailStrategy, NewEvent
from store.repositories.events import EventRepository, KnownKeys
from store.use_cases.embedding import PASSING, Outcome, TextEmbedding
from store.use_cases.event_rules import accept_draft
from store.use_cases.event_text import text_to_embed

MOST_EVENTS = 1000

#: Rounds of look up and store. The second settles keys that came twice in a batch or were taken by somebody else
#: since the first look; more are needed only when they are taken again and again.
_ROUNDS = 5

#: What became of one draft.
Result = Event | TrimemError


@dataclass(frozen=True, slots=True)
class _Wanted:
    event: NewEvent
    #: Whether the caller chose the id; one that we made is new.
    id_is_given: bool


class CreateEvents:
    """Checks events, embeds their texts together, and stores them in one transaction.

    The outcome for each event is as if it had been created alone, after those before it.
    """

    def __init__(
        self, events: EventRepository, embedding: TextEmbedding | None, strategy: FailStrategy = FailStrategy.SOFT
    ) -> None:
        """`embedding` is None when events are not embedded on their way in."""
        self._events = events
        self._embedding = embedding
        self._strategy = strategy

    async def one(self, draft: EventDraft) -> Event:
        """Store an event. Raises what is wrong with it, or what stands in its way."""
        [result] = await self._run([draft])
        if isinstance(result, TrimemError):
            raise result
        return result

    async def batch(self, drafts: Sequence[EventDraft | InvalidArgumentError]) -> list[Result]:
        """Store up to MOST_EVENTS events; a draft that could not be read is given as its error.

        Returns for each the stored event or why it was not stored. Raises what concerns all of them: nothing new is
        stored then, or, when a retry is needed to know, it can be repeated with the same request ids.
        """
        if not 1 <= len(drafts) <= MOST_EVENTS:
            raise InvalidArgumentError("requests", f"must be 1 to {MOST_EVENTS}, and are {len(drafts)}")
        return await self._run(drafts)

    async def _run(self, drafts: Sequence[EventDraft | InvalidArgumentError]) -> list[Result]:
        now = datetime.now(UTC)
        results: dict[int, Result] = {}
        waiting: dict[int, _Wanted] = {}
        for index, draft in enumerate(drafts):
            try:
                if isinstance(draft, InvalidArgumentError):
                    raise draft
                waiting[index] = _Wanted(accept_draft(draft, now), id_is_given=bool(draft.id))
            except InvalidArgumentError as error:
                results[index] = error
        for _ in range(_ROUNDS):
            settled = _settle(waiting, await self._look_up(waiting))
            settled |= await self._store(_distinct(waiting, without=settled))
            results |= settled
            waiting = {index: wanted for index, wanted in waiting.items() if index not in settled}
            if not waiting:
                return [results[index] for index in range(len(drafts))]
        raise UnavailableError("other calls keep writing the same keys")

    async def _look_up(self, waiting: Mapping[int, _Wanted]) -> KnownKeys:
        """What is stored already, so that a repeated call costs no embedding."""
        return await self._events.known(
            [one.event.request_id for one in waiting.values() if one.event.request_id is not None],
            [one.event.id for one in waiting.values() if one.id_is_given],
        )

    async def _store(self, wanted: Mapping[int, NewEvent]) -> dict[int, Result]:
        """Embed and store events of distinct keys. Leaves out those whose keys somebody else took meanwhile."""
        if not wanted:
            return {}
        results: dict[int, Result] = {}
        ready, space = await self._embed(wanted)
        fresh: dict[int, NewEvent] = {}
        for index, one in ready.items():
            if isinstance(one, TrimemError):
                results[index] = one
            else:
                fresh[index] = one
        if fresh:
            stored = await self._events.create(list(fresh.values()), space)
            results |= {index: event for index, event in zip(fresh, stored, strict=True) if event is not None}
        return results

    async def _embed(
        self, wanted: Mapping[int, NewEvent]
    ) -> tuple[dict[int, NewEvent | TrimemError], EmbeddingSpace | None]:
        """The events with state and vector, or why one must not be stored; and the space of the vectors."""
        ready: dict[int, NewEvent | TrimemError] = dict(wanted)
        if self._embedding is None:
            return ready, None
        texts = {index: text for index, event in wanted.items() if (text := text_to_embed(event.content)) is not None}
        embedded = await self._embedding.documents(list(texts.values()))
        for index, outcome in zip(texts, embedded.outcomes, strict=True):
            ready[index] = self._with(wanted[index], outcome)
        return ready, embedded.space

    def _with(self, event: NewEvent, outcome: Outcome) -> NewEvent | TrimemError:
        if not isinstance(outcome, TrimemError):
            return replace(event, embedding_state=EmbeddingState.EMBEDDED, embedding=outcome)
        refused = isinstance(outcome, TextsRefusedError)
        if self._strategy is FailStrategy.SOFT:
            return replace(event, embedding_state=EmbeddingState.FAILED if refused else EmbeddingState.PENDING)
        if isinstance(outcome, PASSING):
            raise outcome  # it would meet every event with a text
        return InvalidArgumentError("event.content", "has a text that the embedder refuses")


def _settle(waiting: Mapping[int, _Wanted], known: KnownKeys) -> dict[int, Result]:
    results: dict[int, Result] = {}
    for index, wanted in waiting.items():
        event = wanted.event
        if event.request_id is not None and event.request_id in known.by_request:
            results[index] = known.by_request[event.request_id]
        elif event.id in known.ids:
            results[index] = EventAlreadyExistsError(f"an event with the id {event.id} exists")
    return results


def _distinct(waiting: Mapping[int, _Wanted], *, without: Mapping[int, Result]) -> dict[int, NewEvent]:
    """The first event of every key; the others wait for what becomes of it."""
    chosen: dict[int, NewEvent] = {}
    taken: set[object] = set()
    for index, wanted in waiting.items():
        keys = {wanted.event.id, wanted.event.request_id} - {None}
        if index not in without and not keys & taken:
            chosen[index] = wanted.event
            taken |= keys
    return chosen
