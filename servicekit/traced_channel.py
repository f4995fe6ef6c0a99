"""A span for each call that we make over gRPC."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from servicekit.channel_layers import Begin, ChannelLayer

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from servicekit.traces import Tracer


class TracedChannel(ChannelLayer):
    """Hands the span on to the server in the metadata of the call. Health checks have none."""

    def __init__(self, inner: grpc.aio.Channel, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer
        self._watches: set[asyncio.Task[None]] = set()

    @property
    def inner(self) -> grpc.aio.Channel:
        """The channel that makes the calls."""
        return self._inner

    def begin(self, kind: str, method: str, coders: dict[str, Any]) -> Begin:
        """See ChannelLayer."""
        untraced: Begin = getattr(self._inner, kind)(method, **coders)
        if method.startswith("/grpc."):
            return untraced

        def begin_traced(*request: Any, metadata: Any = None, **options: Any) -> Any:
            span = self._tracer.calling(method)
            call = untraced(*request, metadata=self._tracer.with_parent(span, metadata), **options)
            watch = asyncio.ensure_future(self._watch(call, span))
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)
            return call

        return begin_traced

    async def _watch(self, call: Any, span: Span) -> None:
        self._tracer.answered(span, await call.code())
