"""`GET /openapi.json`, and `GET /docs`: a page that shows it without anything from elsewhere."""

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from aiohttp import web
from google.protobuf.descriptor import ServiceDescriptor

from gateway.http.openapi.document import openapi_document
from gateway.http.routes import Endpoint, Route
from gateway.http.templates import PathTemplate
from gateway.http.writing import json_text

#: The page runs its own script and no other, and asks nobody but this server.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = {
    "/docs": ("page.html", "text/html"),
    "/docs/page.css": ("page.css", "text/css"),
    "/docs/page.js": ("page.js", "text/javascript"),
}


def document_routes(services: Iterable[ServiceDescriptor]) -> list[Route]:
    """The routes. They say nothing that is not in the repository, so they are open to all."""
    described = list(services)

    @cache
    def document() -> bytes:
        return json_text(openapi_document(described))

    async def openapi(request: web.BaseRequest, _variables: dict[str, str]) -> web.Response:
        return _cached(request, document(), "application/json")

    return [_route("/openapi.json", openapi), *(_route(path, _page(*page)) for path, page in _PAGE.items())]


def _page(name: str, content_type: str) -> Endpoint:
    body = files(__package__).joinpath("page", name).read_bytes()

    async def page(request: web.BaseRequest, _variables: dict[str, str]) -> web.Response:
        response = _cached(request, body, content_type)
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        return response

    return page


def _cached(request: web.BaseRequest, body: bytes, content_type: str) -> web.Response:
    """A response that clients keep, and ask whether it is still the same."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    known = {each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")}
    if known & {tag, "*"}:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)


def _route(path: str, endpoint: Endpoint) -> Route:
    return Route(method="GET", template=PathTemplate.parse(path), endpoint=endpoint, scope=None)
