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
from servicekit.interceptors.access_log import AccessLogInterceptor
from servicekit.interceptors.decoding import DecodingInterceptor
from servicekit.interceptors.errors import ErrorsInterceptor
from servicekit.interceptors.metrics import MetricsInterceptor
from servicekit.interceptors.request_context import RequestContextInterceptor
from servicekit.interceptors.spans import SpansInterceptor


def standard_interceptors(registry: CollectorRegistry) -> list[grpc.aio.ServerInterceptor]:
    """The interceptors of every service, in order."""
    tracer = tracing.active()
    return [
        RequestContextInterceptor(),
        *([SpansInterceptor(tracer)] if tracer else []),
        AccessLogInterceptor(),
        MetricsInterceptor(registry),
        ErrorsInterceptor(),
        DecodingInterceptor(),
    ]


__all__ = ["standard_interceptors"]
