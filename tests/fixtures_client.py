"""Both clients behind one face, and a server that does what a test tells it."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from servicekit.errors import TrimemError
from tests.fixtures_gateway import Fake, FakeEmbedding, FakeEvents, backend_server
from trimem.client import AsyncTrimemClient, RetryPolicy, TrimemClient
from trimem.client.calls import SERVICES
from trimem.embedding.v1 import embedding_pb2_grpc
from trimem.store.v1 import event_service_pb2_grpc

#: Retries without waiting long.
QUICK = RetryPolicy(attempts=4, first_pause=0.001, longest_pause=0.002)


class Caller:
    """A sync or an async client: `await caller("get", event_id)`; what is iterated comes as a list."""

    def __init__(self, client: TrimemClient | AsyncTrimemClient) -> None:
        self.client = client

    async def __call__(self, name: str, *arguments: Any, **options: Any) -> Any:
        if isinstance(self.client, TrimemClient):
            return await asyncio.to_thread(self._block, name, *arguments, **options)
        begun = getattr(self.client, name)(*arguments, **options)
        if isinstance(begun, AsyncGenerator):
            return [one async for one in begun]
        return await begun

    def _block(self, name: str, *arguments: Any, **options: Any) -> Any:
        made = getattr(self.client, name)(*arguments, **options)
        assert not inspect.isawaitable(made)
        return list(made) if isinstance(made, Generator) else made


@asynccontextmanager
async def caller(kind: str, target: str, **options: Any) -> AsyncIterator[Caller]:
    """A client of a kind, "sync" or "async", of the server at `target`."""
    options.setdefault("retry", QUICK)
    if kind == "sync":
        with TrimemClient(target, **options) as client:
            yield Caller(client)
    else:
        async with AsyncTrimemClient(target, **options) as async_client:
            yield Caller(async_client)


@asynccontextmanager
async def fake_services(fake: Fake, port: int = 0) -> AsyncIterator[str]:
    """A server with both services, which give `fake` all their calls. Yields its target."""

    def add(server: grpc.aio.Server) -> None:
        event_service_pb2_grpc.add_EventServiceServicer_to_server(FakeEvents(fake), server)
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(FakeEmbedding(fake), server)

    async with backend_server(*SERVICES, add=add, port=port) as (_server, target):
        yield target


def answering(answer: Any) -> Callable[..., Any]:
    """What a Fake does that always answers the same."""

    async def act(_request: Any, _context: Any) -> Any:
        return answer

    return act


def failing(times: int, error: TrimemError, act: Any = None) -> Any:
    """What a Fake does that fails so many times, and then acts, or answers what it always does."""
    left = times

    async def behave(request: Any, context: Any) -> Any:
        nonlocal left
        if left > 0:
            left -= 1
            raise error
        return await act(request, context)

    return behave
