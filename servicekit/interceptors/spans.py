"""A span for each call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from servicekit.interceptors.layers import AroundLayer, Call
from servicekit.interceptors.outcome import outcome

if TYPE_CHECKING:
    from servicekit.traces import Tracer


class SpansLayer(AroundLayer):
    """Continues the caller's trace, or begins one. Health checks and reflection have none."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def around(self, call: Call) -> Iterator[None]:
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
