"""A span for each HTTP request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from gateway.http.routes import Route

if TYPE_CHECKING:
    from servicekit.traces import Tracer

Handle: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

#: Where the front leaves the route of a request, or None, and the HTTP status that it ended with.
OUTCOME: web.RequestKey[tuple[Route | None, int]] = web.RequestKey("outcome", tuple)

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def traced(handle: Handle, tracer: Tracer) -> Handle:
    """The same, with a span that continues the client's trace or begins one. Health and metrics have none.

    Paths and queries are left out, against the conventions: they name events and hold what users search for.
    """

    async def handle_traced(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(("/health", "/livez", "/readyz", "/metrics")):
            return await handle(request)
        method = request.method if request.method in _METHODS else "_OTHER"  # callers must not make names up
        attributes = {"http.request.method": method, "url.scheme": request.scheme}
        with tracer.serving(method, request.headers.items(), attributes) as span:
            try:
                return await handle(request)
            finally:
                found: tuple[Route | None, int] = request[OUTCOME]
                route, code = found
                if route is not None:
                    span.update_name(f"{method} {route.template.text}")
                    span.set_attribute("http.route", route.template.text)
                tracer.served_http(span, code)

    return handle_traced
