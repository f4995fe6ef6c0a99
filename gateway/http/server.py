"""The HTTP server from start to drain."""

import asyncio

import structlog
from aiohttp import web

from gateway.http.connection import ConnectionServer
from gateway.http.front import Front
from gateway.http.operations import Operations
from gateway.http.spans import traced
from gateway.settings import GatewaySettings
from servicekit import tracing
from servicekit.server import PortTakenError
from servicekit.tls import server_context

#: How long to read on after an answer that came before the end of the request, so that the client finds the answer.
_LINGERING_SECONDS = 5.0


class HttpServer:
    """An aiohttp server that gives every request to the front."""

    def __init__(self, settings: GatewaySettings, front: Front, operations: Operations) -> None:
        self._settings = settings
        self._front = front
        self._operations = operations
        self._runner: web.ServerRunner | None = None
        self._log = structlog.get_logger("http")

    async def start(self, port: int) -> int:
        """Listen on `port` (0 asks for any) and return the port. Raises PortTakenError, CertificateError."""
        settings = self._settings
        files = settings.listener_files()
        connection = {
            "max_header_bytes": settings.http_max_header_bytes,
            "patience": settings.http_read_timeout_seconds,
            "keepalive_timeout": settings.http_keepalive_seconds,
            "lingering_time": _LINGERING_SECONDS,
            "access_log": None,  # the front has one
        }
        # Without a web.Application: our own routes know templates that its router does not.
        tracer = tracing.active()
        server = ConnectionServer(
            self._front.handle if tracer is None else traced(self._front.handle, tracer),
            max_connections=settings.http_max_connections,
            max_body_bytes=settings.http_max_body_bytes,
            connection=connection,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=settings.shutdown_grace_seconds)
        address = settings.bind_address
        await self._runner.setup()
        try:
            # Without SO_REUSEPORT, which would let a second process take half of the requests.
            context = None if files is None else server_context(files)
            await web.TCPSite(self._runner, address, port, ssl_context=context, reuse_port=False).start()
        except OSError as error:
            raise PortTakenError.at(address, port) from error
        bound: int = self._runner.addresses[0][1]
        self._log.info("listening", address=f"{address}:{bound}", tls=files is not None)
        return bound

    async def drain(self) -> None:
        """Say unhealthy, give balancers a moment, then let requests in flight finish within the grace."""
        self._operations.set_draining()
        await asyncio.sleep(self._settings.drain_delay_seconds)
        if self._runner is not None:
            await self._runner.cleanup()
