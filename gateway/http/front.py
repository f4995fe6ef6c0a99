"""What happens around every HTTP request: request id, deadline, access log, metrics, and errors to responses."""

import time

import grpc
import structlog
from aiohttp import web
from google.rpc import status_pb2
from prometheus_client import CollectorRegistry, Histogram

from gateway.auth.bearer import bearer_token
from gateway.gate import Admission, Gate, Visitor
from gateway.http.admission import ADMISSION
from gateway.http.cors import Cors
from gateway.http.deadlines import HEADER as TIMEOUT_HEADER
from gateway.http.deadlines import requested_timeout
from gateway.http.errors import HeadersTooLargeError, MethodNotAllowedError, http_only_status, http_status
from gateway.http.line_stream import LineStream
from gateway.http.routes import Route, Routes
from gateway.http.spans import OUTCOME
from servicekit import context
from servicekit.errors import InternalError, TrimemError, UnauthenticatedError
from servicekit.status import status_of, to_status

REQUEST_ID_HEADER = "X-Request-Id"

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

#: What nginx logs, and google.rpc recommends, for a request that its client gave up.
_CLIENT_CLOSED_REQUEST = 499

#: On every response that does not say otherwise. Answers hold what users said, so nobody keeps or interprets them.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "trimem",  # aiohttp would add its version and that of Python
    "X-Content-Type-Options": "nosniff",
}


class Front:
    """Handles all requests: finds the endpoint, and turns what goes wrong into a google.rpc.Status."""

    def __init__(
        self,
        routes: Routes,
        gate: Gate,
        registry: CollectorRegistry,
        *,
        default_deadline: float,
        max_deadline: float,
        max_header_bytes: int,
        cors: Cors,
    ) -> None:
        """Deadlines are in seconds, and not for streams: the default one is for requests whose client sets none."""
        self._routes = routes
        self._gate = gate
        self._cors = cors
        self._default_deadline = default_deadline
        self._max_deadline = max_deadline
        self._max_header_bytes = max_header_bytes
        self._log = structlog.get_logger("access")
        # Labels are those of known routes and of our keys, so a caller cannot make them up.
        self._seconds = Histogram(
            "trimem_http_seconds",
            "Duration of finished HTTP requests",
            ["method", "route", "code", "key"],
            buckets=_BUCKETS,
            registry=registry,
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens."""
        started = time.monotonic()
        # A connection's requests share one context.
        context.request_id.set(context.accept_request_id(request.headers.get(REQUEST_ID_HEADER)))
        context.deadline.set(None)
        context.key_name.set("")
        route: Route | None = None
        code = _CLIENT_CLOSED_REQUEST
        path = request.rel_url.raw_path
        try:
            try:
                self._check_headers(request)
                response: web.StreamResponse | None = self._cors.preflight(request, path)
                if response is None:
                    route, variables = self._routes.find(request.method, path)
                    request[ADMISSION] = self._admitted(request, route)
                    context.deadline.set(self._deadline(request, route, started))
                    response = await route.endpoint(request, variables)
            except Exception as error:
                response = self._failed(error, path)
            code = response.status
            self._dress(request, response)
            if isinstance(response, LineStream):
                broken = await response.send(request, self._status_of)
                code = http_status(broken.code) if broken else code
            return response
        finally:
            self._report(request, route, code, time.monotonic() - started)

    def _check_headers(self, request: web.BaseRequest) -> None:
        """Raises HeadersTooLargeError. The connection refuses only those that do not come at once."""
        if sum(len(name) + len(value) + len(": \r\n") for name, value in request.raw_headers) > self._max_header_bytes:
            raise HeadersTooLargeError(self._max_header_bytes)

    def _admitted(self, request: web.BaseRequest, route: Route) -> Admission:
        """Ask the gate. What decides is the route that was found: how its path was written makes no difference."""
        token = bearer_token(request.headers.getall("Authorization", []))
        call = f"{route.method} {route.template.text}"
        return self._gate.admit(Visitor(request.remote or "", token, call), route.scope)

    def _deadline(self, request: web.BaseRequest, route: Route, started: float) -> float | None:
        """When nobody waits for the answer any more, or None. Raises InvalidRequestError."""
        timeout = requested_timeout(request.headers.get(TIMEOUT_HEADER))
        if timeout is None:
            return None if route.is_stream else started + self._default_deadline
        return started + (timeout if route.is_stream else min(timeout, self._max_deadline))

    def _dress(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Add the headers that all responses have."""
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers[REQUEST_ID_HEADER] = context.request_id.get()
        self._cors.mark(request, response)

    def _failed(self, error: Exception, path: str) -> web.Response:
        status = self._status_of(error)
        http = http_only_status(error) if isinstance(error, TrimemError) else None
        response = self._routes.error_format(path)(status, http)
        if isinstance(error, MethodNotAllowedError):
            response.headers["Allow"] = ", ".join(error.allowed)
        if isinstance(error, UnauthenticatedError):
            response.headers["WWW-Authenticate"] = 'Bearer realm="trimem"'
        return response

    def _status_of(self, error: Exception) -> status_pb2.Status:
        if isinstance(error, grpc.aio.AioRpcError):
            return status_of(error)
        if not isinstance(error, TrimemError):
            self._log.error("unexpected", exc_info=error)
            error = InternalError()
        return to_status(error, context.request_id.get())

    def _report(self, request: web.BaseRequest, route: Route | None, code: int, seconds: float) -> None:
        request[OUTCOME] = route, code
        infrastructure = route is not None and route.is_infrastructure
        method, path = (route.method, route.template.text) if route else ("", "unmatched")
        if not infrastructure:
            self._seconds.labels(method, path, str(code), context.key_name.get()).observe(seconds)
        log = self._log.error if code == 500 else self._log.debug if infrastructure else self._log.info
        log(
            "http",
            method=request.method[:20],
            route=path,
            code=code,
            duration_ms=round(seconds * 1000, 2),
            peer=request.remote,
        )
