"""Which endpoint answers which method and path."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web

from gateway.http.errors import MethodNotAllowedError, UnknownPathError
from gateway.http.templates import PathTemplate

#: Answers a request, given the percent-encoded values of the path's variables.
Endpoint: TypeAlias = Callable[[web.Request, dict[str, str]], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint and where it is."""

    method: str
    template: PathTemplate
    endpoint: Endpoint
    #: Asked for every few seconds by machines: health and metrics.
    is_infrastructure: bool = False


class Routes:
    """All routes of the gateway."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=lambda route: route.template.rank)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route for a percent-encoded path, and its variables. HEAD is answered like GET.

        Raises UnknownPathError, or MethodNotAllowedError with the methods that the path has.
        """
        wanted = "GET" if method == "HEAD" else method
        others = []
        for route in self._routes:
            variables = route.template.match(path)
            if variables is None:
                continue
            if route.method == wanted:
                return route, variables
            others.append(route.method)
        if others:
            raise MethodNotAllowedError(sorted(set(others)))
        raise UnknownPathError
