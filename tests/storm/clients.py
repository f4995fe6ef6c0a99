"""Clients of a gateway that call all the time, over gRPC and over HTTP, and note how it ended."""

import asyncio
import random
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import grpc

from tests.fixtures_keys import bearer, metadata
from trimem.embedding.v1 import embedding_pb2
from trimem.embedding.v1 import embedding_pb2_grpc as embedding_rpc
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc

#: More than any answer needs.
PATIENCE = 30

T = TypeVar("T")

OK, CANCELLED = "OK", "CANCELLED"
#: gRPC's name for what an HTTP status means.
_HTTP = {200: OK, 503: "UNAVAILABLE"}

#: A connection for each client, as real ones have.
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


@dataclass(frozen=True, slots=True)
class Door:
    """How to get into the gateway: with TLS, and a key."""

    grpc_address: str
    #: With `https://`.
    http_address: str
    #: Whom to believe, in PEM.
    authority: bytes
    token: str

    def channel(self) -> grpc.aio.Channel:
        """A connection of its own."""
        return grpc.aio.secure_channel(
            self.grpc_address, grpc.ssl_channel_credentials(self.authority), options=_OPTIONS
        )

    def session(self) -> aiohttp.ClientSession:
        """The same over HTTP; each request brings the key."""
        context = ssl.create_default_context(cadata=self.authority.decode())
        connector = aiohttp.TCPConnector(ssl=context)
        return aiohttp.ClientSession(self.http_address, connector=connector, headers=bearer(self.token))

    def options(self) -> dict[str, Any]:
        """Of a call over gRPC."""
        return {"timeout": PATIENCE, "metadata": metadata(self.token)}


@dataclass(frozen=True, slots=True)
class Ended:
    """One call."""

    kind: str
    code: str
    began: float
    ended: float
    message: str = ""

    @property
    def is_unavailable(self) -> bool:
        """Whether the gateway said that a backend cannot be reached.

        When a server ends a call while its client is still sending, grpc.aio sometimes puts a status of its own in
        place of the one that came: https://github.com/grpc/grpc/issues/36066. The gateway counts what it answered.
        """
        return self.code == "UNAVAILABLE" or (self.code, self.message) == ("INTERNAL", "Internal error from Core")


@dataclass
class Storm:
    """Where to call, what to ask for, and what came of it."""

    door: Door
    #: Ids of stored events.
    event_ids: list[str]
    calls: list[Ended] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, clients: int) -> None:
        """Call until it is over. Every fifth client speaks HTTP."""
        await asyncio.gather(*(self._client(number) for number in range(clients)))

    async def _client(self, number: int) -> None:
        chance = random.Random(number)
        if number % 5:
            async with self.door.channel() as channel:
                calls = _GrpcCalls(channel, self.door.options(), self.event_ids, chance)
                await self._call_on(calls.kinds(), chance)
        else:
            async with self.door.session() as session:
                await self._call_on(_HttpCalls(session, self.event_ids, chance).kinds(), chance)

    async def _call_on(self, kinds: dict[str, Callable[[], Awaitable[str]]], chance: random.Random) -> None:
        while not self.over.is_set():
            await asyncio.sleep(chance.uniform(0, 0.6))
            kind = chance.choice(list(kinds))
            began = time.monotonic()
            code, message = await _code(kinds[kind]())
            self.calls.append(Ended(kind, code, began, time.monotonic(), message))


async def _code(call: Awaitable[str]) -> tuple[str, str]:
    try:
        return await call, ""
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return CANCELLED, ""
    except (aiohttp.ClientError, TimeoutError) as error:  # the gateway itself broke off
        return type(error).__name__, str(error)


class _GrpcCalls:
    """One client of both services."""

    def __init__(
        self, channel: grpc.aio.Channel, options: dict[str, Any], event_ids: list[str], chance: random.Random
    ) -> None:
        self._embedding: embedding_rpc.EmbeddingServiceAsyncStub = embedding_rpc.EmbeddingServiceStub(channel)
        self._events: rpc.EventServiceAsyncStub = rpc.EventServiceStub(channel)
        self._options = options
        self._event_ids = event_ids
        self._chance = chance

    def kinds(self) -> dict[str, Callable[[], Awaitable[str]]]:
        """Calls by name."""
        return {
            "Embed": self.embed,
            "EmbedStream": self.embed_stream,
            "GetEvent": self.get,
            "GetEvent, given up": self.give_up,
            "SearchEvents": self.search,
            "CreateEvent": self.create,
            "ImportEvents": self.upload,
        }

    async def embed(self) -> str:
        inputs = [_text(self._chance) for _ in range(4)]
        answer = await self._embedding.Embed(embedding_pb2.EmbedRequest(inputs=inputs), **self._options)
        assert len(answer.embeddings) == len(inputs)
        return OK

    async def embed_stream(self) -> str:
        requests = [embedding_pb2.EmbedStreamRequest(id=str(n), input=_text(self._chance)) for n in range(5)]
        answered = [one.id async for one in self._embedding.EmbedStream(_each(requests), **self._options)]
        assert answered == [request.id for request in requests]
        return OK

    async def get(self) -> str:
        wanted = self._chance.choice(self._event_ids)
        answer = await self._events.GetEvent(pb.GetEventRequest(id=wanted), **self._options)
        assert answer.event.id == wanted
        return OK

    async def give_up(self) -> str:
        call = self._events.GetEvent(pb.GetEventRequest(id=self._event_ids[0]), **self._options)
        await asyncio.sleep(self._chance.uniform(0, 0.01))
        call.cancel()
        await call
        return OK

    async def search(self) -> str:
        request = pb.SearchEventsRequest(query=_text(self._chance), page_size=5)
        await self._events.SearchEvents(request, **self._options)
        return OK

    async def create(self) -> str:
        await self._events.CreateEvent(_creation(self._chance), **self._options)
        return OK

    async def upload(self) -> str:
        batches = [pb.ImportEventsRequest(requests=[_creation(self._chance) for _ in range(3)]) for _ in range(2)]
        answer = await self._events.ImportEvents(_each(batches), **self._options)
        assert answer.settled_count == 6
        return OK


class _HttpCalls:
    """One client of the JSON door."""

    def __init__(self, session: aiohttp.ClientSession, event_ids: list[str], chance: random.Random) -> None:
        self._session = session
        self._event_ids = event_ids
        self._chance = chance

    def kinds(self) -> dict[str, Callable[[], Awaitable[str]]]:
        """Calls by name."""
        return {"GET event": self.get, "POST search": self.search, "POST search, given up": self.give_up}

    async def get(self) -> str:
        return await self._ask("GET", f"/v1/events/{self._chance.choice(self._event_ids)}")

    async def search(self) -> str:
        return await self._ask("POST", "/v1/search", json={"query": _text(self._chance), "page_size": 5})

    async def give_up(self) -> str:
        try:
            async with asyncio.timeout(self._chance.uniform(0, 0.01)):
                return await self.search()
        except TimeoutError:
            return CANCELLED

    async def _ask(self, method: str, path: str, **body: object) -> str:
        async with self._session.request(method, path, **body) as response:  # type: ignore[arg-type]  # `json` or nothing
            await response.read()
            return _HTTP.get(response.status, str(response.status))


async def _each(messages: list[T]) -> AsyncIterator[T]:
    for message in messages:
        yield message


def _creation(chance: random.Random) -> pb.CreateEventRequest:
    request = pb.CreateEventRequest(request_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)))
    request.event.content.update({"text": _text(chance)})
    return request


def _text(chance: random.Random) -> str:
    return " ".join(chance.choices(("harbour", "lantern", "meadow", "kettle", "signal", "orchard"), k=6))
