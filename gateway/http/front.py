"""What happens around every HTTP request: request id, deadline, access log, metrics, and errors to responses."""

import time

import grpc
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram

from gateway.http.errors import MethodNotAllowedError, http_only_status
from gateway.http.routes import Route, Routes
from gateway.http.writing import error_response
from servicekit import context
from servicekit.errors import InternalError, TrimemError
from servicekit.status import status_of, to_status

REQUEST_ID_HEADER = "X-Request-Id"

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

#: What nginx logs, and google.rpc recommends, for a request that its client gave up.
_CLIENT_CLOSED_REQUEST = 499


class Front:
    """Handles all requests: finds the endpoint, and turns what goes wrong into a google.rpc.Status."""

    def __init__(self, routes: Routes, registry: CollectorRegistry, *, default_deadline: float) -> None:
        """`default_deadline` in seconds is what each request has."""
        self._routes = routes
        self._default_deadline = default_deadline
        self._log = structlog.get_logger("access")
        # Labels are those of known routes, so a caller cannot make them up.
        self._seconds = Histogram(
            "trimem_http_seconds",
            "Duration of finished HTTP requests",
            ["method", "route", "code"],
            buckets=_BUCKETS,
            registry=registry,
        )

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request, whatever happens."""
        started = time.monotonic()
        # A connection's requests share one context.
        context.request_id.set(context.accept_request_id(request.headers.get(REQUEST_ID_HEADER)))
        context.deadline.set(started + self._default_deadline)
        route: Route | None = None
        code = _CLIENT_CLOSED_REQUEST
        try:
            try:
                route, variables = self._routes.find(request.method, request.rel_url.raw_path)
                response = await route.endpoint(request, variables)
            except Exception as error:
                response = self._failed(error)
            code = response.status
            response.headers[REQUEST_ID_HEADER] = context.request_id.get()
            return response
        finally:
            self._report(request, route, code, time.monotonic() - started)

    def _failed(self, error: Exception) -> web.Response:
        identity = context.request_id.get()
        if isinstance(error, grpc.aio.AioRpcError):
            return error_response(status_of(error))
        if not isinstance(error, TrimemError):
            self._log.error("unexpected", exc_info=error)
            error = InternalError()
        response = error_response(to_status(error, identity), http_only_status(error))
        if isinstance(error, MethodNotAllowedError):
            response.headers["Allow"] = ", ".join(error.allowed)
        return response

    def _report(self, request: web.Request, route: Route | None, code: int, seconds: float) -> None:
        infrastructure = route is not None and route.is_infrastructure
        method, path = (route.method, route.template.text) if route else ("", "unmatched")
        if not infrastructure:
            self._seconds.labels(method, path, str(code)).observe(seconds)
        log = self._log.error if code == 500 else self._log.debug if infrastructure else self._log.info
        log(
            "http",
            method=request.method[:20],
            route=path,
            code=code,
            duration_ms=round(seconds * 1000, 2),
            peer=request.remote,
        )
