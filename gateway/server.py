"""Both doors of the gateway, opened and closed together."""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from gateway.backends import Backend
from gateway.http.front import Front
from gateway.http.operations import Operations
from gateway.http.routes import Routes
from gateway.http.server import HttpServer
from gateway.http.transcoder import transcoded_routes
from gateway.proxy import Proxy
from gateway.settings import GatewaySettings
from servicekit.server import Server


class GatewayServer(Server):
    """The gRPC server, and an HTTP server that drains with it."""

    def __init__(self, settings: GatewaySettings, registry: CollectorRegistry, backends: Sequence[Backend]) -> None:
        deadline = settings.default_deadline_seconds
        super().__init__(
            settings,
            registry,
            services=[service.full_name for backend in backends for service in backend.services],
            handlers=[Proxy(backends, default_deadline=deadline)],
        )
        operations = Operations(backends, registry)
        routes = Routes([*operations.routes(), *transcoded_routes(backends)])
        self.http = HttpServer(settings, Front(routes, registry, default_deadline=deadline), operations)

    async def drain(self) -> None:
        """Drain both within one grace."""
        await asyncio.gather(super().drain(), self.http.drain())
