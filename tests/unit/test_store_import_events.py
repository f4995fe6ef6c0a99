"""Imports: what is read ahead, what is counted, and what is left when they end early."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from servicekit.errors import InvalidArgumentError, UnavailableError
from store.events import EmbeddingSpace, Event, EventDraft, NewEvent
from store.repositories.events import KnownKeys
from store.repositories.memory import MemoryEvents, MemorySpaces
from store.use_cases.create_events import MOST_EVENTS, CreateEvents
from store.use_cases.embed_events import EmbedEvents
from store.use_cases.embedder import EmbeddedTexts, InputKind
from store.use_cases.embedding import TextEmbedding
from store.use_cases.import_events import BATCH_BYTES, ImportEvents, ImportItem
from tests.fixtures_store import DIMENSION, SPACE, text_vector

PATIENCE = 30


@dataclass
class Gated(MemoryEvents):
    """Writes when it may, and fails with the batch that it is told."""

    may_write: asyncio.Event = field(default_factory=asyncio.Event)
    fails_at: int | None = None
    #: Events of each write.
    sizes: list[int] = field(default_factory=list)

    async def create(self, events: Sequence[NewEvent], space: EmbeddingSpace | None) -> list[Event | None]:
        """See EventRepository."""
        await self.may_write.wait()
        if self.fails_at == len(self.sizes):
            raise UnavailableError("no database")
        self.sizes.append(len(events))
        return await MemoryEvents.create(self, events, space)


@dataclass
class Embedder:
    """Embeds, and counts."""

    texts: int = 0

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """See Embedder."""
        self.texts += len(texts)
        return EmbeddedTexts([text_vector(text) for text in texts], SPACE)


@dataclass
class Stream:
    """A stream of events with texts, that counts what was taken from it."""

    length: int
    size: int = 100
    taken: int = 0

    async def __aiter__(self) -> AsyncIterator[ImportItem]:
        while self.taken < self.length:
            self.taken += 1
            yield ImportItem(EventDraft({"text": f"text {self.taken}"}, request_id=f"r {self.taken}"), self.size)


def importing(events: MemoryEvents, embedder: Embedder) -> ImportEvents:
    """ImportEvents with fakes."""
    embed = EmbedEvents(TextEmbedding(embedder, DIMENSION), MemorySpaces(events.data))
    return ImportEvents(CreateEvents(events, embed))


async def until_embedded(embedder: Embedder, count: int) -> None:
    """Wait until so many texts were embedded, and then for what may follow."""
    async with asyncio.timeout(PATIENCE):
        while embedder.texts < count:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)


async def test_the_next_batch_is_read_and_embedded_while_one_is_written_and_no_more() -> None:
    events, embedder, stream = Gated(), Embedder(), Stream(10 * MOST_EVENTS)
    running = asyncio.create_task(importing(events, embedder).run(aiter(stream)))

    await until_embedded(embedder, 2 * MOST_EVENTS)

    assert stream.taken == embedder.texts == 2 * MOST_EVENTS
    events.may_write.set()
    summary = await running
    assert (summary.settled, summary.stored) == (10 * MOST_EVENTS, 10 * MOST_EVENTS)
    assert events.sizes == [MOST_EVENTS] * 10


async def test_large_events_make_small_batches() -> None:
    events = Gated()
    events.may_write.set()

    await importing(events, Embedder()).run(aiter(Stream(8, size=BATCH_BYTES // 3 + 1)))

    assert events.sizes == [3, 3, 2]


async def test_a_write_that_fails_leaves_the_batches_before_it() -> None:
    events = Gated(fails_at=2)
    events.may_write.set()

    with pytest.raises(UnavailableError) as caught:
        await importing(events, Embedder()).run(aiter(Stream(5 * MOST_EVENTS)))

    assert caught.value.metadata == {"settled_count": str(2 * MOST_EVENTS)}
    assert len(events.data.stored) == 2 * MOST_EVENTS


async def test_what_is_being_written_when_something_else_fails_is_counted() -> None:
    events, embedder = Gated(), Embedder()

    async def broken() -> AsyncIterator[ImportItem]:
        async for item in aiter(Stream(MOST_EVENTS + 5)):
            yield item
        asyncio.get_running_loop().call_later(0.05, events.may_write.set)
        raise InvalidArgumentError("request", "is not a valid message")

    with pytest.raises(InvalidArgumentError) as caught:
        await importing(events, embedder).run(broken())

    assert caught.value.metadata == {"settled_count": str(MOST_EVENTS)}
    assert len(events.data.stored) == MOST_EVENTS


async def test_an_import_that_is_cancelled_leaves_no_write_behind() -> None:
    events, embedder = Gated(), Embedder()
    before = asyncio.all_tasks()
    running = asyncio.create_task(importing(events, embedder).run(aiter(Stream(3 * MOST_EVENTS))))
    await until_embedded(embedder, 2 * MOST_EVENTS)

    running.cancel()
    await asyncio.wait([running])
    events.may_write.set()
    await asyncio.sleep(0)

    assert running.cancelled()
    assert events.data.stored == {}
    assert asyncio.all_tasks() <= before


async def test_a_repeated_import_stores_nothing_and_asks_for_no_embedding() -> None:
    events, embedder = Gated(), Embedder()
    events.may_write.set()
    await importing(events, embedder).run(aiter(Stream(1500)))
    embedder.texts = 0

    summary = await importing(events, embedder).run(aiter(Stream(1600)))

    assert (summary.settled, summary.stored, summary.repeated, summary.failed) == (1600, 100, 1500, 0)
    assert embedder.texts == 100


@dataclass
class Looked(MemoryEvents):
    """Remembers how much of stored events was asked for."""

    rooms: set[int | None] = field(default_factory=set)

    async def known(self, request_ids: Sequence[str], ids: Sequence[UUID], room: int | None = 0) -> KnownKeys:
        """See EventRepository."""
        self.rooms.add(room)
        return await MemoryEvents.known(self, request_ids, ids, room)


async def test_an_import_does_not_read_the_contents_of_what_it_counts_as_repeated() -> None:
    events = Looked()
    for _ in range(2):
        summary = await importing(events, Embedder()).run(aiter(Stream(3)))

    assert summary.repeated == 3
    assert events.rooms == {None}
