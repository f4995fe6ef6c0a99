"""Asks the same of several parties, over gRPC and over HTTP; in a process of its own, like `load`.

Bodies are made before, and answers are not parsed. Questions (JSON lines):

- `{"do": "turns", "ways": [...], "calls": N, "warm_up": N}`: one client takes the ways in turns, a few calls each,
  every time in another order. The answer is the milliseconds of each call, by party.
- `{"do": "load", "way": {...}, "clients": N, "seconds": S}`: that many clients, each with a connection of its own and
  a call at a time. The answer is an `Outcome`.

A way is a `Way`.
"""

import asyncio
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import grpc

from benchmarks.support.children import answer_lines

_PATIENCE_SECONDS = 60
#: Calls of a turn: as many as bring processes that slept back into the caches, and few enough that whatever disturbs
#: the machine disturbs all parties.
_TURN = 20
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))


@dataclass(frozen=True, slots=True)
class Way:
    """How to have a call answered, and by whom."""

    party: str
    #: `host:port` for gRPC, `http://host:port` for HTTP.
    address: str
    #: Of the method, or of the resource.
    path: str
    #: The serialized message, or JSON, in base64. Empty over HTTP: a GET.
    body: str


@dataclass(slots=True)
class Outcome:
    """What came of a load."""

    answered: int = 0
    #: How often calls failed with which code.
    errors: dict[str, int] = field(default_factory=dict)
    #: Processor time of this process, all threads.
    client_seconds: float = 0.0
    seconds: float = 0.0


#: Makes one call and waits for its answer. Raises an error for anything but success.
Send = Callable[[], Awaitable[None]]


async def turns(ways: Sequence[Way], calls: int, warm_up: int) -> dict[str, list[float]]:
    """Latencies by party, of `calls` calls each after `warm_up`. Nobody is always behind the same one."""
    latencies: dict[str, list[float]] = {way.party: [] for way in ways}
    async with AsyncExitStack() as stack:
        senders = [(way.party, await stack.enter_async_context(_sender(way))) for way in ways]
        for turn in range((warm_up + calls) // _TURN):
            shift = turn % len(senders)
            for party, send in senders[shift:] + senders[:shift]:
                for _ in range(_TURN):
                    began = time.perf_counter()
                    await send()
                    latencies[party].append((time.perf_counter() - began) * 1000)
    return {party: measured[warm_up:] for party, measured in latencies.items()}


async def load(way: Way, clients: int, seconds: float) -> Outcome:
    """How many calls are answered in that time."""
    outcome = Outcome()
    async with AsyncExitStack() as stack:
        senders = [await stack.enter_async_context(_sender(way)) for _ in range(clients)]
        await asyncio.gather(*(send() for send in senders))  # everybody is connected
        busy, began = time.process_time(), time.perf_counter()
        await asyncio.gather(*(_client(send, began + seconds, outcome) for send in senders))
        outcome.seconds = time.perf_counter() - began
        outcome.client_seconds = time.process_time() - busy
    return outcome


async def _client(send: Send, ends: float, outcome: Outcome) -> None:
    while time.perf_counter() < ends:
        try:
            await send()
        except grpc.aio.AioRpcError as error:
            outcome.errors[error.code().name] = outcome.errors.get(error.code().name, 0) + 1
        except aiohttp.ClientResponseError as error:
            outcome.errors[str(error.status)] = outcome.errors.get(str(error.status), 0) + 1
        else:
            outcome.answered += 1


@asynccontextmanager
async def _sender(way: Way) -> AsyncIterator[Send]:
    body = b64decode(way.body)
    if way.address.startswith("http"):
        async with aiohttp.ClientSession(way.address, raise_for_status=True) as session:
            yield _over_http(session, way.path, body)
    else:
        async with grpc.aio.insecure_channel(way.address, options=_OPTIONS) as channel:
            call: Any = channel.unary_unary(way.path)  # bytes in, bytes out

            async def send() -> None:
                await call(body, timeout=_PATIENCE_SECONDS)

            yield send


def _over_http(session: aiohttp.ClientSession, path: str, body: bytes) -> Send:
    method = "POST" if body else "GET"
    headers = {"Content-Type": "application/json"} if body else {}

    async def send() -> None:
        async with session.request(method, path, data=body or None, headers=headers) as response:
            await response.read()

    return send


async def _answer(question: dict[str, Any]) -> Any:
    if question.pop("do") == "turns":
        return await turns([Way(**way) for way in question["ways"]], question["calls"], question["warm_up"])
    return asdict(await load(Way(**question["way"]), question["clients"], question["seconds"]))


if __name__ == "__main__":
    answer_lines(_answer)
