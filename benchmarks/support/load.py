"""The load generator: runs in a process of its own, and costs as little as it can, because it shares the cores.

Requests are serialised before the clock starts and answers are not parsed. It measures its own processor time.

Questions (JSON lines): `{"do": "wait", "address": A}` until health says SERVING, and `{"do": "load", ...}`, see `Job`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.support.children import PATIENCE_SECONDS, answer_lines
from trimem.embedding.v1 import embedding_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"].full_name
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client, as real clients have
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


@dataclass(frozen=True, slots=True)
class Job:
    """Closed-loop load: each client sends its next request when the last one is answered."""

    address: str
    #: Texts of each request, in the order in which clients take them.
    requests: list[list[str]]
    clients: int
    #: Domain by name.
    domain: str = "DOMAIN_TEXT"
    #: When to stop sending; 0 means when all requests are answered.
    seconds: float = 0
    #: Use EmbedStream: a client takes a request and writes its texts one by one into a stream of its own.
    stream: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of a job. Of a timed one, what was answered in time."""

    #: Milliseconds of each answered request; of each text when streaming.
    latencies_ms: list[float] = field(default_factory=list)
    #: Indices of answered requests.
    answered: list[int] = field(default_factory=list)
    #: How often calls failed with which code.
    errors: dict[str, int] = field(default_factory=dict)
    #: Wall time.
    seconds: float = 0.0
    #: Processor time of this process, all threads.
    client_seconds: float = 0.0


#: Sends one serialised request, and notes in the outcome how long its answer took.
_Send = Callable[[bytes | list[bytes], Outcome], Awaitable[None]]


async def run(job: Job) -> Outcome:
    """Generate the load."""
    payloads: Iterator[tuple[int, bytes | list[bytes]]] = enumerate([_payload(job, texts) for texts in job.requests])
    outcome = Outcome()
    async with _senders(job) as senders:
        started, busy = time.perf_counter(), time.process_time()
        ends = started + job.seconds if job.seconds else float("inf")
        await asyncio.gather(*(_client(send, payloads, ends, outcome) for send in senders))
        outcome.seconds = min(time.perf_counter(), ends) - started
        outcome.client_seconds = time.process_time() - busy
    return outcome


async def _client(
    send: _Send, payloads: Iterator[tuple[int, bytes | list[bytes]]], ends: float, outcome: Outcome
) -> None:
    for index, payload in payloads:
        one = Outcome()
        try:
            await send(payload, one)
        except grpc.aio.AioRpcError as error:
            outcome.errors[error.code().name] = outcome.errors.get(error.code().name, 0) + 1
        else:
            if time.perf_counter() <= ends:
                outcome.answered.append(index)
                outcome.latencies_ms.extend(one.latencies_ms)
        if time.perf_counter() >= ends:
            return


def _payload(job: Job, texts: list[str]) -> bytes | list[bytes]:
    domain = pb.Domain.Value(job.domain)
    if job.stream:
        return [pb.EmbedStreamRequest(input=text, domain=domain).SerializeToString() for text in texts]
    return pb.EmbedRequest(inputs=texts, domain=domain).SerializeToString()


@asynccontextmanager
async def _senders(job: Job) -> AsyncIterator[list[_Send]]:
    channels = [grpc.aio.insecure_channel(job.address, options=_OPTIONS) for _ in range(job.clients)]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        yield [_streaming(channel) if job.stream else _unary(channel) for channel in channels]
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


def _unary(channel: grpc.aio.Channel) -> _Send:
    call: Any = channel.unary_unary(f"/{_SERVICE}/Embed")  # bytes in, bytes out

    async def send(payload: bytes | list[bytes], outcome: Outcome) -> None:
        began = time.perf_counter()
        await call(payload, timeout=PATIENCE_SECONDS)
        outcome.latencies_ms.append((time.perf_counter() - began) * 1000)

    return send


def _streaming(channel: grpc.aio.Channel) -> _Send:
    open_stream: Any = channel.stream_stream(f"/{_SERVICE}/EmbedStream")

    async def send(payload: bytes | list[bytes], outcome: Outcome) -> None:
        stream = open_stream(timeout=PATIENCE_SECONDS)
        written: list[float] = []

        async def write() -> None:
            for message in payload:
                written.append(time.perf_counter())
                await stream.write(message)
            await stream.done_writing()

        writing = asyncio.create_task(write())
        try:
            async for _answer in stream:  # in the order of the requests
                outcome.latencies_ms.append((time.perf_counter() - written[len(outcome.latencies_ms)]) * 1000)
            await writing
        finally:
            writing.cancel()

    return send


async def _wait(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=_SERVICE)
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for state in health.Watch(request, wait_for_ready=True):
                if state.status == health_pb2.HealthCheckResponse.SERVING:
                    return


async def _answer(question: dict[str, Any]) -> Any:
    if question.pop("do") == "wait":
        return await _wait(question["address"])
    return asdict(await run(Job(**question)))


if __name__ == "__main__":
    answer_lines(_answer)
