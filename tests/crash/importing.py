"""Clients that import events and do not give up: what they sent, and what was acknowledged."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import grpc

from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc

Way: TypeAlias = Callable[[Sequence[pb.CreateEventRequest]], Awaitable[None]]

BUCKETS = 7
_LATER = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,  # what a client makes of a connection that ended in the middle of an answer
}


class Sent(NamedTuple):
    """What an event was made of; no two have the same text."""

    text: str
    bucket: int
    #: Empty when the store was left to make one.
    id: str = ""


@dataclass
class Ledger:
    """What the clients know."""

    #: By text, every event that was ever sent.
    sent: dict[str, Sent] = field(default_factory=dict)
    #: Texts of events that the store said it has, and under which id; empty where it did not say.
    acknowledged: dict[str, str] = field(default_factory=dict)
    #: Answers other than "later": there must be none.
    surprises: list[str] = field(default_factory=list)
    retries: int = 0


class Importer:
    """Sends events in one of three ways, each with a request_id, and repeats what was not answered.

    Every other event has an id and a time of its own. The store makes those of the others, anew each time that they are
    sent: only the request_id keeps it from writing them twice.
    """

    def __init__(self, stub: "rpc.EventServiceAsyncStub", ledger: Ledger, seed: int) -> None:
        self._stub = stub
        self._ledger = ledger
        self._random = random.Random(seed)
        #: How to send, and how many events at a time.
        self._ways: list[tuple[Way, int]] = [(self._one, 1), (self._batch, 40), (self._stream, 400)]

    async def run(self, over: asyncio.Event) -> None:
        """Import until `over`, and then what was begun to its end."""
        while not over.is_set():
            way, count = self._random.choice(self._ways)
            requests = [self._request() for _ in range(count)]
            while not await self._attempt(way, requests):
                self._ledger.retries += 1
                await asyncio.sleep(self._random.uniform(0.05, 0.3))

    async def _attempt(self, way: Way, requests: Sequence[pb.CreateEventRequest]) -> bool:
        try:
            await way(requests)
        except grpc.aio.AioRpcError as error:
            if error.code() in _LATER:
                return False
            self._ledger.surprises.append(f"{error.code()}: {error.details()}")
            return True
        return True

    async def _one(self, requests: Sequence[pb.CreateEventRequest]) -> None:
        answer = await self._stub.CreateEvent(requests[0], timeout=10)
        self._acknowledge([answer.event])

    async def _batch(self, requests: Sequence[pb.CreateEventRequest]) -> None:
        answer = await self._stub.BatchCreateEvents(pb.BatchCreateEventsRequest(requests=requests), timeout=15)
        self._ledger.surprises += [str(one.error) for one in answer.results if one.HasField("error")]
        self._acknowledge([one.event for one in answer.results if one.HasField("event")])

    async def _stream(self, requests: Sequence[pb.CreateEventRequest]) -> None:
        async def messages() -> AsyncIterator[pb.ImportEventsRequest]:
            for start in range(0, len(requests), 50):
                yield pb.ImportEventsRequest(requests=requests[start : start + 50])

        answer = await self._stub.ImportEvents(messages(), timeout=30)
        self._ledger.surprises += [str(one.error) for one in answer.errors]
        if answer.stored_count + answer.repeated_count != len(requests):
            self._ledger.surprises.append(f"counts of an import of {len(requests)}: {answer}")
        self._acknowledge([one.event for one in requests])

    def _acknowledge(self, events: Sequence[pb.Event]) -> None:
        self._ledger.acknowledged.update({text_of(one): one.id for one in events})

    def _request(self) -> pb.CreateEventRequest:
        number = len(self._ledger.sent)
        text = f"event {number} {uuid.uuid4()}"
        request = pb.CreateEventRequest(request_id=str(uuid.uuid4()))
        request.event.content["text"] = text
        request.event.metadata["bucket"] = number % BUCKETS
        if number % 2:
            request.event.id = str(uuid.uuid4())
            request.event.timestamp.FromSeconds(1_780_000_000 + self._random.randrange(60 * 86400))
        self._ledger.sent[text] = Sent(text, number % BUCKETS, request.event.id)
        return request


def text_of(event: pb.Event) -> str:
    """The text of an event, which no other has."""
    return event.content.fields["text"].string_value
