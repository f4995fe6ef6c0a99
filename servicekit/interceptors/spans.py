"""A span for each call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from servicekit.interceptors.around import AroundInterceptor, Call
from servicekit.interceptors.outcome import outcome

if TYPE_CHECKING:
    from servicekit.traces import Tracer


class SpansInterceptor(AroundInterceptor):
    """Continues the caller's trace, or begins one. Health checks and reflection have none."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        if call.is_infrastructure:
            yield
            return
        error: BaseException | None = None
        with self._tracer.serving_rpc(call.method, call.context.invocation_metadata() or ()) as span:
            try:
                yield
            except BaseException as raised:
                error = raised
                raise
            finally:
                self._tracer.served(span, outcome(call, error))
