"""Spans by the semantic conventions of OpenTelemetry: names and codes, never what users said or who they are.

Imported only when there is somebody who collects them: see `servicekit.tracing`.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from servicekit import context
from servicekit.traced_channel import TracedChannel

_PROPAGATOR = TraceContextTextMapPropagator()

#: What else is said of a call is not for those outside: baggage may hold anything.
_PROPAGATED = _PROPAGATOR.fields

#: Codes that are a fault of the server, by the conventions; others are the caller's.
_FAULTS_OF_SERVERS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}


class Tracer:
    """Makes the spans of this process. Parents are found in, and handed on by, the headers of W3C."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("trimem")

    def trace_id(self) -> str:
        """The id of the trace that the running code is a part of, or an empty string."""
        found = trace.get_current_span().get_span_context()
        return trace.format_trace_id(found.trace_id) if found.is_valid else ""

    @contextmanager
    def serving(self, name: str, metadata: Iterable[tuple[str, Any]], attributes: Mapping[str, str]) -> Iterator[Span]:
        """The span of a call that somebody makes to us: the parent of all that happens inside of the block.

        `metadata`, or headers, may name the caller's span. What went wrong is for the caller of this to say.
        """
        carrier = {key.lower(): value for key, value in metadata if key.lower() in _PROPAGATED}
        with self._tracer.start_as_current_span(
            name,
            _PROPAGATOR.extract(carrier),
            SpanKind.SERVER,
            attributes,
            record_exception=False,  # messages may quote what users said; the log has the rest
            set_status_on_exception=False,
        ) as span:
            yield span

    def serving_rpc(self, method: str, metadata: Iterable[tuple[str, Any]]) -> AbstractContextManager[Span]:
        """The same for a call over gRPC of a method, given by its full name."""
        return self.serving(method.lstrip("/"), metadata, _rpc_attributes(method))

    def served(self, span: Span, code: grpc.StatusCode) -> None:
        """Say how a call over gRPC to us ended."""
        span.set_attribute("trimem.request_id", context.request_id.get())
        _answered(span, code, is_error=code in _FAULTS_OF_SERVERS)

    def served_http(self, span: Span, code: int) -> None:
        """Say how an HTTP request to us ended."""
        span.set_attribute("trimem.request_id", context.request_id.get())
        span.set_attribute("http.response.status_code", code)
        if code >= 500:
            span.set_attribute("error.type", str(code))
            span.set_status(StatusCode.ERROR)

    def calling(self, method: str) -> Span:
        """The span of a call over gRPC that we make, to be ended by `answered`. `method` is its full name."""
        return self._tracer.start_span(method.lstrip("/"), kind=SpanKind.CLIENT, attributes=_rpc_attributes(method))

    def answered(self, span: Span, code: grpc.StatusCode) -> None:
        """End the span of a call over gRPC that we made."""
        _answered(span, code, is_error=code is not grpc.StatusCode.OK)
        span.end()

    def traced(self, channel: grpc.aio.Channel) -> grpc.aio.Channel:
        """The channel, with a span for each call."""
        return TracedChannel(channel, self)

    def with_parent(
        self, span: Span, metadata: Iterable[tuple[str, str | bytes]] | None
    ) -> tuple[tuple[str, str | bytes], ...]:
        """Metadata for a call that this span is the caller of, in place of the one that came in from outside."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
        return (*(item for item in metadata or () if item[0] not in _PROPAGATED), *carrier.items())

    def happened(self, name: str, seconds: float, attributes: Mapping[str, str], error_type: str | None) -> None:
        """A span for what somebody else has done for the running code and just finished.

        Without a parent there is none: work in the background would fill the collector with traces of one span.
        """
        if not trace.get_current_span().get_span_context().is_valid:
            return
        end = time.time_ns()
        start = end - int(seconds * 1e9)
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start)
        if error_type is not None:
            span.set_attribute("error.type", error_type)
            span.set_status(StatusCode.ERROR)
        span.end(end)


def _rpc_attributes(method: str) -> dict[str, str]:
    """What the conventions want to know of a call of a method, given by its full name."""
    return {"rpc.system.name": "grpc", "rpc.method": method.lstrip("/")}


def _answered(span: Span, code: grpc.StatusCode, *, is_error: bool) -> None:
    span.set_attribute("rpc.response.status_code", code.name)
    if is_error:
        span.set_attribute("error.type", code.name)
        span.set_status(StatusCode.ERROR)
