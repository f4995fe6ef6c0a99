"""What happens around every RPC, one concern a file.

The order, outermost first, and why:

1. RequestContext: everything that follows logs, measures and calls under the request's id and deadline.
2. Spans, where there are traces: what is logged inside of it carries the trace's id.
3. AccessLog, Metrics: they see the final status code, because
4. Errors turns exceptions into statuses inside of them, and
5. Decoding raises what Errors maps when the bytes of a request are no message.
"""

import grpc
from prometheus_client import CollectorRegistry

from servicekit import tracing
from servicekit.interceptors.access_log import AccessLogLayer
from servicekit.interceptors.decoding import DecodingLayer
from servicekit.interceptors.errors import ErrorsLayer
from servicekit.interceptors.layers import Layer, LayersInterceptor
from servicekit.interceptors.metrics import MetricsLayer
from servicekit.interceptors.request_context import NO_SUCH_METHOD, RequestContextLayer
from servicekit.interceptors.spans import SpansLayer


def standard_interceptor(registry: CollectorRegistry) -> grpc.aio.ServerInterceptor:
    """What is around every RPC of every service."""
    return LayersInterceptor(standard_layers(registry), NO_SUCH_METHOD)


def standard_layers(registry: CollectorRegistry) -> list[Layer]:
    """The layers, in order."""
    tracer = tracing.active()
    return [
        RequestContextLayer(),
        *([SpansLayer(tracer)] if tracer else []),
        AccessLogLayer(),
        MetricsLayer(registry),
        ErrorsLayer(),
        DecodingLayer(),
    ]


__all__ = ["standard_interceptor", "standard_layers"]
