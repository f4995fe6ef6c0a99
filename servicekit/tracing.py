"""Traces by OpenTelemetry, off unless they are asked for.

Without them nothing of OpenTelemetry is imported, no interceptor is added and no channel is wrapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servicekit.traces import Tracer

_active: Tracer | None = None


def active() -> Tracer | None:
    """What makes spans, or None where nobody collects them. Asked when parts are put together, not for each call."""
    return _active


@contextmanager
def traced_process(service: str, endpoint: str, *, grace: float) -> Iterator[None]:
    """Send the spans of the process to `endpoint` as long as the block runs; without an endpoint there are none.

    In the end the last ones get as long as `grace`, in seconds.
    """
    if not endpoint:
        yield
        return
    from servicekit.trace_export import exporting

    with exporting(service, endpoint, grace=grace) as tracer, tracing_by(tracer):
        yield


@contextmanager
def tracing_by(tracer: Tracer) -> Iterator[None]:
    """Make it the active one for parts that are put together inside of the block."""
    global _active  # noqa: PLW0603 - one a process, like logging
    before, _active = _active, tracer
    try:
        yield
    finally:
        _active = before


def trace_id() -> str:
    """The id of the trace that the running code is a part of, for log lines; empty without one."""
    return "" if _active is None else _active.trace_id()
