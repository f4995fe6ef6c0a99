"""Spans of this process, kept in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from servicekit.traces import Tracer
from servicekit.tracing import tracing_by


@dataclass(frozen=True)
class Traces:
    """What was traced so far."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    @property
    def spans(self) -> list[ReadableSpan]:
        """All that have ended."""
        return list(self.exporter.get_finished_spans())

    def of(self, name: str, kind: SpanKind) -> list[ReadableSpan]:
        """Those with this name, of this kind."""
        return [span for span in self.spans if (span.name, span.kind) == (name, kind)]

    def of_sql(self) -> list[ReadableSpan]:
        """Those of statements."""
        return [span for span in self.spans if "db.system.name" in (span.attributes or {})]

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        """The span that caused this one, if it is one of ours."""
        wanted = None if span.parent is None else span.parent.span_id
        return next((one for one in self.spans if one.context is not None and one.context.span_id == wanted), None)

    def ids(self) -> set[int]:
        """The ids of the traces."""
        return {span.context.trace_id for span in self.spans if span.context is not None}


@contextmanager
def traced() -> Iterator[Traces]:
    """Trace what is put together inside of the block."""
    traces = Traces()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(traces.exporter))
    with tracing_by(Tracer(provider)):
        yield traces
    provider.shutdown()
