"""Which endpoint answers which method and path."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web
from google.rpc import status_pb2

from gateway.auth.scopes import Scope
from gateway.http.errors import MethodNotAllowedError, UnknownPathError
from gateway.http.templates import PathTemplate
from gateway.http.writing import error_response

#: Answers a request, given the percent-encoded values of the path's variables.
Endpoint: TypeAlias = Callable[[web.BaseRequest, dict[str, str]], Awaitable[web.StreamResponse]]

#: Writes an error as a response: its status, and the HTTP status when that is not the standard one.
ErrorFormat: TypeAlias = Callable[[status_pb2.Status, int | None], web.Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An endpoint and where it is."""

    method: str
    template: PathTemplate
    endpoint: Endpoint
    #: What a key must have; None is open to all.
    scope: Scope | None
    #: Clients of this path expect its errors in this shape.
    error_format: ErrorFormat = error_response
    #: Asked for every few seconds by machines: health and metrics.
    is_infrastructure: bool = False
    #: May go on for hours: without a deadline unless the client sets one.
    is_stream: bool = False


class Routes:
    """All routes of the gateway."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=lambda route: route.template.rank)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route for a percent-encoded path, and its variables. HEAD is answered like GET.

        Raises UnknownPathError, or MethodNotAllowedError with the methods that the path has.
        """
        wanted = "GET" if method == "HEAD" else method
        for route in self._routes:
            if route.method == wanted and (variables := route.template.match(path)) is not None:
                return route, variables
        if others := self.methods(path):
            raise MethodNotAllowedError(others)
        raise UnknownPathError

    def methods(self, path: str) -> list[str]:
        """The methods that a percent-encoded path has."""
        return sorted({route.method for route in self._routes if route.template.match(path) is not None})

    def error_format(self, path: str) -> ErrorFormat:
        """The shape of errors at a percent-encoded path, whatever the method."""
        return next(
            (route.error_format for route in self._routes if route.template.match(path) is not None), error_response
        )
