"""Sends the spans of this process to a collector, by OTLP."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread

import structlog
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from servicekit.traces import Tracer

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

#: Longest wait for a collector when the process ends. What is left then is lost.
_FLUSH_SECONDS = 3.0


@contextmanager
def exporting(service: str, endpoint: str, *, grace: float) -> Iterator[Tracer]:
    """A tracer whose spans are sent in the background, in batches; what the collector does not take is dropped.

    The library reads its variables from the environment. `endpoint` may come from elsewhere. At the end the last
    batch gets as long as `grace`, in seconds, and no longer than _FLUSH_SECONDS.
    """
    os.environ.setdefault(_ENDPOINT, endpoint)
    provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter()))
    log = structlog.get_logger("tracing")
    log.info("exporting")
    try:
        yield Tracer(provider)
    finally:
        # The library waits for up to half a minute for a collector that does not answer.
        flushing = Thread(target=provider.shutdown, name="last traces", daemon=True)
        flushing.start()
        flushing.join(min(grace, _FLUSH_SECONDS))
        if flushing.is_alive():
            log.warning("the last traces were not sent: the collector does not answer")


def _resource(service: str) -> Resource:
    """Who we are, where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES do not say otherwise."""
    ours = Resource.create({"service.name": f"trimem-{service}", "service.version": version("trimem")})
    return ours.merge(OTELResourceDetector().detect())


def _exporter() -> SpanExporter:
    if next((os.environ[name] for name in _PROTOCOLS if name in os.environ), "") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc

        return OverGrpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

    return OverHttp()
