"""Which web pages of other origins may use the API from a browser: none, unless the settings name them."""

import re
from collections.abc import Collection

from aiohttp import web

from gateway.http.routes import Routes

#: Names of headers, as the Fetch standard has browsers ask for them.
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1000}", re.ASCII)

_PREFLIGHT_SECONDS = 600
_EXPOSED = "ETag, Retry-After, X-Request-Id"


class Cors:
    """Answers browsers that ask on behalf of a page.

    Credentials that a browser would add by itself are never allowed: keys are sent by the page, as any other header.
    So the origin `*` gives nobody more than what they can do without a browser.
    """

    def __init__(self, origins: Collection[str], routes: Routes) -> None:
        """`origins` are those that are allowed, such as `https://app.example.com`, or `*` for all."""
        self._origins = frozenset(origins)
        self._routes = routes

    def preflight(self, request: web.BaseRequest, path: str) -> web.Response | None:
        """The answer when a browser asks whether a page may send a request; None for all other requests.

        It is asked without a key, and says no more than the documentation.
        """
        wanted = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or wanted is None or self._allowed(request) is None:
            return None
        if not (methods := self._routes.methods(path)):
            return None
        response = web.Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
        response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
        names = request.headers.get("Access-Control-Request-Headers", "")
        # All of them: SDKs send headers about themselves. None has a meaning here that a page could abuse.
        if _HEADER_NAMES.fullmatch(names):
            response.headers["Access-Control-Allow-Headers"] = names
        return response

    def mark(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Tell the browser whether the page may see a response."""
        if not self._origins:
            return
        if "*" not in self._origins:
            response.headers["Vary"] = "Origin"  # caches must not give it to pages of others
        if (allowed := self._allowed(request)) is not None:
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED

    def _allowed(self, request: web.BaseRequest) -> str | None:
        origin = request.headers.get("Origin")
        if origin is None or not self._origins:
            return None
        if "*" in self._origins:
            return "*"
        return origin if origin in self._origins else None
