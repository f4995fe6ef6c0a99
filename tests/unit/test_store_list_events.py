"""Pages of events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from store.events import Event, EventFilter, NewEvent, Position
from store.repositories.memory import MemoryEvents
from store.servicers.conversion import write_event
from store.use_cases.list_events import ListEvents
from store.use_cases.page_bytes import PAGE_BYTES
from trimem.store.v1 import event_service_pb2 as pb

NOON = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Counting(MemoryEvents):
    """Remembers how many events were asked for."""

    asked: list[int] = field(default_factory=list)

    async def page(self, matching: EventFilter, after: Position | None, limit: int) -> list[Event]:
        """See EventRepository."""
        self.asked.append(limit)
        return await MemoryEvents.page(self, matching, after, limit)


async def filled(texts: Sequence[str]) -> Counting:
    """A repository with an event for each text, the last one the newest."""
    events = Counting()
    await events.create(
        [NewEvent(uuid4(), NOON + timedelta(seconds=number), {"text": text}, {}) for number, text in enumerate(texts)],
        None,
    )
    return events


async def pages(events: Counting, page_size: int) -> list[list[str]]:
    """The texts of all pages."""
    found, token = [], ""
    while True:
        page = await ListEvents(events).run(EventFilter(), page_size, token)
        found.append([event.content["text"] for event in page.events])
        token = page.next_page_token
        if not token:
            return found


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (2, [2]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])])
async def test_pages_are_full_but_the_last_and_only_that_has_no_token(count: int, sizes: list[int]) -> None:
    texts = [str(number) for number in range(count)]

    found = await pages(await filled(texts), 3)

    assert [len(page) for page in found] == sizes
    assert [text for page in found for text in page] == texts[::-1]


async def test_a_large_page_is_read_in_parts() -> None:
    events = await filled([str(number) for number in range(1001)])

    found = await pages(events, 1000)

    assert [len(page) for page in found] == [1000, 1]
    assert events.asked[:7] == [20, 200, 200, 200, 200, 181, 20]


async def test_few_events_are_read_at_a_time_while_they_are_large() -> None:
    events = await filled(["x" * (PAGE_BYTES // 50)] * 60)

    await ListEvents(events).run(EventFilter(), 1000, "")

    assert events.asked == [20, 30]


@pytest.mark.parametrize("value", [[1] * 50_000, [[1]] * 20_000, [[[[[[]]]]]] * 9000, [{"": {"": -1}}] * 9000])
async def test_a_page_of_numbers_and_lists_fits_into_a_message(value: list[Any]) -> None:
    events = Counting()
    await events.create([NewEvent(uuid4(), NOON, {"value": value}, {"value": value}) for _ in range(30)], None)

    page = await ListEvents(events).run(EventFilter(), 1000, "")

    message = pb.ListEventsResponse()
    for event in page.events:
        write_event(event, message.events.add())
    assert PAGE_BYTES // 5 < message.ByteSize() <= PAGE_BYTES


async def test_a_page_of_large_events_ends_early_and_nothing_is_lost() -> None:
    third = "x" * (PAGE_BYTES // 3)
    texts = [third, third, third, "y" * (PAGE_BYTES * 2), "small", third]

    found = await pages(await filled(texts), 50)

    assert [text for page in found for text in page] == texts[::-1]
    assert [len(page) for page in found] == [2, 1, 2, 1]
