"""Logs of a service process, and what Prometheus is told of it."""

import logging
import sys
from contextlib import nullcontext, suppress
from functools import partial
from typing import TextIO

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
    level = "DEBUG" if settings.debug else settings.log_level
    handler = logging.StreamHandler()
    structlog.configure(
        processors=[*shared, *renderer],
        logger_factory=partial(_Lines, handler),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Libraries that describe every request at INFO: we have an access log of our own.
    for name in ("httpx", "httpcore", "asyncio", "urllib3", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.WARNING)


class _Lines:
    """Writes finished lines where a handler writes: what `logging` does for one takes longer than to make it."""

    def __init__(self, handler: "logging.StreamHandler[TextIO]", name: str = "root") -> None:
        self.name = name
        self._handler = handler

    def write(self, line: str) -> None:
        """Write a line. Like `logging`, it does not let those fail who have something to say."""
        with suppress(OSError, ValueError), self._handler.lock or nullcontext():
            self._handler.stream.write(line + "\n")
            self._handler.flush()

    debug = info = warning = error = critical = write


def new_registry() -> CollectorRegistry:
    """A metrics registry with what Prometheus clients report of a process: memory, CPU, open files, GC."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
