"""Channels around channels: what a caller of a stub does not have to know of."""

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self
from weakref import WeakSet

import grpc

from servicekit.tls import Certificates, Watched

#: How often a channel looks for other certificates, at most: each call would be too often.
LOOK_SECONDS = 1.0

#: Begins a call of one method: takes what callables of gRPC take, returns the call.
Begin = Callable[..., Any]


class ChannelLayer(grpc.aio.Channel):
    """A channel whose calls are begun by `begin`, and which is `inner` in all other ways.

    Calls are those of gRPC itself. Its own interceptors for clients put objects in their place that behave differently
    when they are cancelled or read in part.
    """

    @property
    @abstractmethod
    def inner(self) -> grpc.aio.Channel:
        """The channel that is used now."""

    @abstractmethod
    def begin(self, kind: str, method: str, coders: dict[str, Any]) -> Begin:
        """What begins calls of `method`, a full name. `kind` names the method of channels that makes callables."""

    def unary_unary(self, method: str, *coders: Any, **named: Any) -> Any:
        return self.begin("unary_unary", method, _named(coders, named))

    def unary_stream(self, method: str, *coders: Any, **named: Any) -> Any:
        return self.begin("unary_stream", method, _named(coders, named))

    def stream_unary(self, method: str, *coders: Any, **named: Any) -> Any:
        return self.begin("stream_unary", method, _named(coders, named))

    def stream_stream(self, method: str, *coders: Any, **named: Any) -> Any:
        return self.begin("stream_stream", method, _named(coders, named))

    async def close(self, grace: float | None = None) -> None:
        await self.inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.inner.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class RenewedChannel(ChannelLayer):
    """A channel that is made anew when its certificates are, because gRPC reads those of a client only once.

    Calls in progress finish on the old one.
    """

    def __init__(self, watched: Watched, connect: Callable[[Certificates], grpc.aio.Channel]) -> None:
        """`connect` makes a channel with certificates."""
        self._watched = watched
        self._connect = connect
        self._certificates = watched.current()
        self._channel = connect(self._certificates)
        #: Those that were begun on the channel of now; gRPC lets nobody ask.
        self._calls: WeakSet[Any] = WeakSet()
        self._draining: set[asyncio.Task[None]] = set()
        self._looked_at = time.monotonic()

    @property
    def inner(self) -> grpc.aio.Channel:
        """The channel with the certificates of now."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._renew()
        return self._channel

    def _renew(self) -> None:
        certificates = self._watched.current()
        self._looked_at = time.monotonic()
        if certificates is not self._certificates:
            draining = asyncio.ensure_future(_drain(self._channel, list(self._calls)))
            self._draining.add(draining)
            draining.add_done_callback(self._draining.discard)
            self._certificates, self._channel, self._calls = certificates, self._connect(certificates), WeakSet()

    def begin(self, kind: str, method: str, coders: dict[str, Any]) -> Begin:
        """See ChannelLayer."""
        channel: grpc.aio.Channel | None = None
        begin_there: Begin

        def begin_on_current(*request: Any, **options: Any) -> Any:
            nonlocal channel, begin_there
            current = self.inner
            if current is not channel:
                channel, begin_there = current, getattr(current, kind)(method, **coders)
            call = begin_there(*request, **options)
            self._calls.add(call)
            return call

        return begin_on_current

    async def close(self, grace: float | None = None) -> None:
        """Close it, and what is left of those before without a grace."""
        for draining in self._draining:
            draining.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        await self._channel.close(grace)


async def _drain(channel: grpc.aio.Channel, calls: list[Any]) -> None:
    """Close the channel after its calls, be it in hours; when this is cancelled, at once."""
    try:
        await asyncio.gather(*(call.code() for call in calls))
    finally:
        await channel.close()


def _named(coders: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments after the method's name, which generated stubs give by name and people may give by place."""
    return (
        dict(zip(("request_serializer", "response_deserializer", "_registered_method"), coders, strict=False)) | named
    )
