"""The standard health service, in a form that a server can drain."""

import asyncio

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest

from servicekit.interceptors.layers import Context


class Health(health.aio.HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """Health checks whose watches end at shutdown.

    A watch has no end of its own, and every client that leaves out unhealthy servers keeps one open: a drain would
    wait for it until the whole grace is over.
    """

    def __init__(self) -> None:
        super().__init__()
        self._over = asyncio.Event()

    def end_watches(self) -> None:
        """Send all watchers away."""
        self._over.set()

    async def Watch(self, request: HealthCheckRequest, context: Context) -> None:
        watching = asyncio.ensure_future(super().Watch(request, context))
        ending = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({watching, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            unfinished = watching.cancel()
        if unfinished:
            await asyncio.gather(watching, return_exceptions=True)  # two writers at once are one too many
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
        await watching
