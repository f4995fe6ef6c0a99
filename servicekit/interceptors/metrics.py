"""Counts and times calls for Prometheus."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Gauge, Histogram

from servicekit import context
from servicekit.interceptors.layers import AroundLayer, Call
from servicekit.interceptors.outcome import outcome

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class MetricsLayer(AroundLayer):
    """`trimem_rpc_seconds` by method, code and name of the API key, and `trimem_rpc_in_flight` by method.

    Methods are those of registered handlers and keys those of our file, so a caller cannot make labels up.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "trimem_rpc_seconds",
            "Duration of finished RPCs",
            ["method", "code", "key"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._in_flight = Gauge("trimem_rpc_in_flight", "RPCs that are running", ["method"], registry=registry)

    @contextmanager
    def around(self, call: Call) -> Iterator[None]:
        if call.is_infrastructure:
            yield
            return
        started = time.perf_counter()
        error: BaseException | None = None
        in_flight = self._in_flight.labels(call.method)
        in_flight.inc()
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            in_flight.dec()
            labels = (call.method, outcome(call, error).name, context.key_name.get())
            self._seconds.labels(*labels).observe(time.perf_counter() - started)
