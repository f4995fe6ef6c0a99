"""The client for programs with an event loop. `sync.py` is made of this file by `client/generate.py`."""

import builtins
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Self, Unpack

from trimem.client import calls
from trimem.client import wire_async as wire
from trimem.client.aio_calls import BATCH_TIMEOUT, TIMEOUT
from trimem.client.aio_code import AsyncCodeCalls
from trimem.client.aio_graph import AsyncGraphCalls
from trimem.client.batches import Batch, tally
from trimem.client.calls import Call
from trimem.client.connection import connection
from trimem.client.errors import TrimemError
from trimem.client.options import EmbedOptions, ListOptions, SearchOptions
from trimem.client.retries import RetryPolicy
from trimem.client.types import (
    Domain,
    Embedding,
    Event,
    Health,
    ImportSummary,
    InputKind,
    Json,
    Models,
    NewEvent,
    SearchPage,
    Similarity,
    TokenCounts,
)

#: Texts in one call of `embed_many`.
_TEXTS = 64


class AsyncTrimemClient(AsyncCodeCalls, AsyncGraphCalls):
    """A memory behind a gateway: one connection for any number of tasks, of one event loop.

    All methods raise TrimemError. Calls that failed for a passing reason are made again, and never write twice.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        tls: bool | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        cert_file: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
        timeout: float = TIMEOUT,
        retry: RetryPolicy | None = None,
        channel: wire.Channel | None = None,
    ) -> None:
        """Connects with the first call. Raises ValueError for an address, a key or a file that cannot be used.

        What is not given comes from TRIMEM_URL (`host:port`, with `https://` before it for TLS), TRIMEM_API_KEY or
        TRIMEM_API_KEY_FILE, TRIMEM_TLS, TRIMEM_CA_FILE, TRIMEM_CERT_FILE and TRIMEM_KEY_FILE. A `channel` is used as it
        is, and closed with the client.
        """
        to = connection(url, api_key=api_key, tls=tls, ca_file=ca_file, cert_file=cert_file, key_file=key_file)
        super().__init__(
            wire.open_channel(to) if channel is None else channel,
            metadata=to.metadata,
            timeout=timeout,
            retry=retry or RetryPolicy(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection. Calls that are under way fail."""
        await self._channel.close()

    async def remember(
        self, text: str, *, metadata: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Event:
        """Store a text, as it happened now."""
        return await self.create(NewEvent(content={"text": text}, metadata=metadata or {}), timeout=timeout)

    async def create(self, event: NewEvent, *, timeout: float | None = None) -> Event:
        """Store an event. Returns it when it is durable; `embedding_state` says how far its embedding got.

        A `request_id` that was used before returns the event that it wrote first. An `id` that is in use raises
        AlreadyExistsError.
        """
        return await self._run(calls.create(event, self._time(timeout)))

    async def create_many(
        self, events: wire.Source[NewEvent], *, timeout: float = BATCH_TIMEOUT
    ) -> AsyncGenerator[Event | TrimemError, None]:
        """Store any number of events; yields for each, in order, the stored event or why it was not stored.

        Events are read no faster than they are stored, and a few hundred are in memory. `timeout` is for each call of
        many. What concerns all events raises: those that were yielded are settled, and of the next few hundred any may
        be. Importing again is safe when events have an `id` or a `request_id`: with an `id` alone those that are stored
        come back as AlreadyExistsError.
        """
        async with aclosing(self._pipelined(self._batches(events, timeout))) as batches:
            async for results in batches:
                for result in results:
                    yield result

    async def import_events(
        self,
        events: wire.Source[NewEvent],
        *,
        on_progress: Callable[[ImportSummary], None] | None = None,
        timeout: float = BATCH_TIMEOUT,
    ) -> ImportSummary:
        """Store any number of events as `create_many` does, and count what became of them.

        `on_progress` is called from time to time with the counts so far.
        """
        summary = ImportSummary()
        async with aclosing(self._pipelined(self._batches(events, timeout))) as batches:
            async for results in batches:
                summary = tally(summary, results)
                if on_progress is not None:
                    on_progress(summary)
        return summary

    async def get(self, event_id: str, *, timeout: float | None = None) -> Event:
        """The event with this id. Raises NotFoundError."""
        return await self._run(calls.get(event_id, self._time(timeout)))

    async def update(
        self, event_id: str, *, content: Json | None = None, metadata: Json | None = None, timeout: float | None = None
    ) -> Event:
        """Replace the content or the metadata of an event, or both. Raises NotFoundError."""
        return await self._run(calls.update(event_id, content, metadata, self._time(timeout)))

    async def delete(self, event_id: str, *, timeout: float | None = None) -> None:
        """Remove an event for good. Raises NotFoundError."""
        await self._run(calls.delete(event_id, self._time(timeout)))

    def list(self, *, timeout: float | None = None, **options: Unpack[ListOptions]) -> AsyncGenerator[Event, None]:
        """All events within the filters, newest first, page by page. `timeout` is for each page."""
        return self._pages(lambda token: calls.list_events(token, self._time(timeout), options))

    async def search(
        self, query: str = "", *, page_token: str = "", timeout: float | None = None, **options: Unpack[SearchOptions]
    ) -> SearchPage:
        """The events that match a query best, one page of them: the first, or that of a `next_page_token`."""
        return await self._run(calls.search(query, page_token, self._time(timeout), options))

    async def search_pages(
        self, query: str = "", *, timeout: float | None = None, **options: Unpack[SearchOptions]
    ) -> AsyncGenerator[SearchPage, None]:
        """All pages of a search, at most 200 hits. `timeout` is for each page."""
        token, more = "", True
        while more:
            page = await self.search(query, page_token=token, timeout=timeout, **options)
            yield page
            token = page.next_page_token
            more = bool(token)

    async def embed(
        self, inputs: str | Sequence[str], *, timeout: float | None = None, **options: Unpack[EmbedOptions]
    ) -> tuple[Embedding, ...]:
        """The embeddings of up to 1,024 texts, in order. A text that is refused raises InvalidArgumentError."""
        texts = [inputs] if isinstance(inputs, str) else inputs
        return await self._run(calls.embed(texts, self._time(timeout), options))

    async def embed_many(
        self, inputs: wire.Source[str], *, timeout: float = BATCH_TIMEOUT, **options: Unpack[EmbedOptions]
    ) -> AsyncGenerator[Embedding | TrimemError, None]:
        """Embed any number of texts; yields for each, in order, its embedding or why it has none.

        Texts are read no faster than they are embedded. `timeout` is for each call of many.
        """
        async with aclosing(self._pipelined(self._streams(inputs, timeout, options))) as streams:
            async for results in streams:
                for result in results:
                    yield result

    async def similarity(
        self,
        first: str | Sequence[float],
        second: str | Sequence[float],
        *,
        domain: Domain = Domain.TEXT,
        timeout: float | None = None,
    ) -> Similarity:
        """How alike two texts or vectors are."""
        return await self._run(calls.similarity(first, second, domain, self._time(timeout)))

    async def count_tokens(
        self,
        inputs: str | Sequence[str],
        *,
        domain: Domain = Domain.TEXT,
        kind: InputKind = InputKind.DOCUMENT,
        timeout: float | None = None,
    ) -> TokenCounts:
        """Tokens of up to 1,024 texts as the model of a domain reads them."""
        texts = [inputs] if isinstance(inputs, str) else inputs
        return await self._run(calls.count_tokens(texts, domain, kind, self._time(timeout)))

    async def models(self, *, timeout: float | None = None) -> Models:
        """The models of the embedder."""
        return await self._run(calls.models(self._time(timeout)))

    async def health(self, *, timeout: float | None = None) -> Health:
        """Whether the gateway and what is behind it answer. Raises UnavailableError when there is no gateway."""
        serving = await self._run(calls.health("", self._time(timeout)))
        services = {name: await self._run(calls.health(name, self._time(timeout))) for name in calls.SERVICES}
        return Health(serving=serving, services=services)

    async def _batches(
        self, events: wire.Source[NewEvent], timeout: float
    ) -> AsyncGenerator[Call[builtins.list[Event | TrimemError]], None]:
        batch = Batch()
        async for event in wire.each(events):
            if not batch.add(event):
                yield batch.call(timeout)
                batch = Batch()
                batch.add(event)
        if len(batch):
            yield batch.call(timeout)

    async def _streams(
        self, inputs: wire.Source[str], timeout: float, options: EmbedOptions
    ) -> AsyncGenerator[Call[builtins.list[Embedding | TrimemError]], None]:
        texts: builtins.list[str] = []
        async for text in wire.each(inputs):
            texts.append(text)
            if len(texts) == _TEXTS:
                yield calls.embed_stream(texts, timeout, options)
                texts = []
        if texts:
            yield calls.embed_stream(texts, timeout, options)
