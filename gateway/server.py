"""Both doors of the gateway, opened and closed together."""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from gateway.auth.interceptor import GateInterceptor
from gateway.backends import Backend
from gateway.gate import Gate
from gateway.http.body import BodyReader
from gateway.http.front import Front
from gateway.http.operations import Operations
from gateway.http.routes import Routes
from gateway.http.server import HttpServer
from gateway.http.transcoder import transcoded_routes
from gateway.proxy import Deadlines, Proxy
from gateway.settings import GatewaySettings
from servicekit.server import Server


class GatewayServer(Server):
    """The gRPC server, and an HTTP server that drains with it."""

    def __init__(self, settings: GatewaySettings, registry: CollectorRegistry, backends: Sequence[Backend]) -> None:
        """Read the API keys. Raises KeyFileError."""
        deadline = settings.default_deadline_seconds
        gate = Gate(settings, registry)
        services = [service for backend in backends for service in backend.services]
        super().__init__(
            settings,
            registry,
            services=[service.full_name for service in services],
            interceptors=[GateInterceptor(gate, services, patience=deadline)],
            handlers=[Proxy(backends, Deadlines(deadline, settings.max_deadline_seconds))],
        )
        operations = Operations(backends, registry)
        bodies = BodyReader(patience=settings.http_read_timeout_seconds)
        routes = Routes([*operations.routes(), *transcoded_routes(backends, bodies)])
        self.http = HttpServer(settings, Front(routes, gate, registry, default_deadline=deadline), operations)

    async def drain(self) -> None:
        """Drain both within one grace."""
        await asyncio.gather(super().drain(), self.http.drain())
