"""Logs of a service process, and what Prometheus is told of it."""

import logging
import sys

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer, JSONRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from servicekit import context, tracing
from servicekit.settings import LogFormat, ServiceSettings


def configure_logging(service: str, settings: ServiceSettings) -> None:
    """Send every log line of this process, ours and the libraries', to standard error in one format."""

    def add_origin(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        if identity := context.request_id.get():
            event.setdefault("request_id", identity)
        if key := context.key_name.get():
            event.setdefault("key", key)
        if trace := tracing.trace_id():
            event.setdefault("trace_id", trace)
        return event

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_origin,
    ]
    # Tracebacks without the values of variables: those are users' texts, and secrets.
    renderer: list[Processor] = (
        [ExceptionRenderer(ExceptionDictTransformer(show_locals=False)), JSONRenderer()]
        if settings.log_format is LogFormat.JSON
        else [ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain_traceback)]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("DEBUG" if settings.debug else settings.log_level)
    # Libraries that describe every request at INFO: we have an access log of our own.
    for name in ("httpx", "httpcore", "asyncio", "urllib3", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.WARNING)


def new_registry() -> CollectorRegistry:
    """A metrics registry with what Prometheus clients report of a process: memory, CPU, open files, GC."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
