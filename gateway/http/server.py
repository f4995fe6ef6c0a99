"""The HTTP server from start to drain."""

import asyncio
import logging

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.http.front import Front
from gateway.http.operations import Operations
from gateway.settings import GatewaySettings
from servicekit.server import PortTakenError


def _is_about_us(record: logging.LogRecord) -> bool:
    """Keeps bytes that are no HTTP out of the log: they would come with a traceback and the bytes themselves."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError | web.RequestPayloadError)


class HttpServer:
    """An aiohttp server that gives every request to the front."""

    def __init__(self, settings: GatewaySettings, front: Front, operations: Operations) -> None:
        self._settings = settings
        self._operations = operations
        self._log = structlog.get_logger("http")
        app = web.Application(client_max_size=settings.http_max_body_bytes)
        app.router.add_route("*", "/{path:.*}", front.handle)  # our own routes know templates that aiohttp does not
        logger = logging.getLogger("aiohttp.server")
        logger.addFilter(_is_about_us)
        self._runner = web.AppRunner(
            app,
            logger=logger,
            access_log=None,  # the front has one
            handler_cancellation=True,  # a client that has gone cancels the call that it caused
            shutdown_timeout=settings.shutdown_grace_seconds,
        )

    async def start(self, port: int) -> int:
        """Listen on `port` (0 asks for any) and return the port. Raises PortTakenError."""
        address = self._settings.bind_address
        await self._runner.setup()
        try:
            # Without SO_REUSEPORT, which would let a second process take half of the requests.
            await web.TCPSite(self._runner, address, port, reuse_port=False).start()
        except OSError as error:
            raise PortTakenError.at(address, port) from error
        bound: int = self._runner.addresses[0][1]
        self._log.info("listening", address=f"{address}:{bound}")
        return bound

    async def drain(self) -> None:
        """Say unhealthy, give balancers a moment, then let requests in flight finish within the grace."""
        self._operations.set_draining()
        await asyncio.sleep(self._settings.drain_delay_seconds)
        await self._runner.cleanup()
