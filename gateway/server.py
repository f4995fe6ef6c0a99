"""Both doors of the gateway, opened and closed together."""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from gateway.auth.interceptor import GateInterceptor
from gateway.backends import Backend
from gateway.gate import Gate
from gateway.http.body import BodyReader
from gateway.http.cors import Cors
from gateway.http.front import Front
from gateway.http.openai.routes import openai_routes
from gateway.http.openapi.routes import document_routes
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
        self.routes = Routes(
            [
                *operations.routes(),
                *transcoded_routes(backends, bodies, longest=settings.max_deadline_seconds),
                *openai_routes(backends, bodies),
                *document_routes(services),
            ]
        )
        front = Front(
            self.routes,
            gate,
            registry,
            default_deadline=deadline,
            max_deadline=settings.max_deadline_seconds,
            max_header_bytes=settings.http_max_header_bytes,
            cors=Cors(settings.http_cors_origins, self.routes),
        )
        self.http = HttpServer(settings, front, operations)

    async def drain(self) -> None:
        """Drain both within one grace."""
        await asyncio.gather(super().drain(), self.http.drain())
