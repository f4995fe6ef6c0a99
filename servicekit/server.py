"""A gRPC server from start to drain."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from servicekit import tasks
from servicekit.health import Health
from servicekit.interceptors import standard_interceptor
from servicekit.settings import ServiceSettings
from servicekit.tls import server_credentials

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

#: Largest metadata of a call, names and values with 32 bytes for each pair.
_MAX_METADATA_BYTES = 16 * 1024

#: How long a new connection may take until it can carry calls.
_HANDSHAKE_MILLISECONDS = 10_000


class PortTakenError(RuntimeError):
    """We cannot listen where we were told to."""

    @classmethod
    def at(cls, host: str, port: int) -> "PortTakenError":
        """The error for one address."""
        return cls(f"cannot listen on {host}:{port}: the port is taken, or the address is not ours")


class Server:
    """An aio server with health, reflection, our interceptors and limits. Says NOT_SERVING until `set_ready`.

    Add servicers to `grpc`, then `start`.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        registry: CollectorRegistry,
        *,
        services: Sequence[str],
        handlers: Sequence[grpc.GenericRpcHandler] = (),
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        health_names: Sequence[str] = (),
    ) -> None:
        """`services` are shown by reflection; health is reported for them, and for `health_names`. `interceptors` are
        inside of the standard ones.
        """
        self._settings = settings
        self._health_names = ["", *services, *health_names]
        self._log = structlog.get_logger("server")
        self._health = Health()
        self.grpc = grpc.aio.server(
            interceptors=[standard_interceptor(registry), *interceptors],
            handlers=handlers,
            options=server_options(settings),
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        reflection.enable_server_reflection([*services, HEALTH, reflection.SERVICE_NAME], self.grpc)

    async def start(self, port: int) -> int:
        """Listen on `port` (0 asks for any) and return the port. Raises PortTakenError, CertificateError."""
        await self.set_ready(False)  # the health servicer begins with SERVING
        address = self._settings.bind_address
        host = f"[{address}]" if ":" in address else address  # IPv6
        files = self._settings.listener_files()
        try:
            if files is None:
                bound = self.grpc.add_insecure_port(f"{host}:{port}")
            else:
                bound = self.grpc.add_secure_port(f"{host}:{port}", server_credentials(files))
        except RuntimeError as error:
            raise PortTakenError.at(host, port) from error
        await self.grpc.start()
        self._log.info("listening", address=f"{host}:{bound}", tls=files is not None)
        return bound

    async def set_ready(self, ready: bool, service: str | None = None) -> None:
        """Report SERVING or NOT_SERVING for one service, or for all of them and the process."""
        for name in self._health_names if service is None else [service]:
            await self._health.set(name, _SERVING if ready else _NOT_SERVING)

    async def drain(self) -> None:
        """Say NOT_SERVING, give balancers a moment, then let calls in flight finish within the grace."""
        self._log.info("draining", grace_seconds=self._settings.shutdown_grace_seconds)
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.drain_delay_seconds)
        stopping = asyncio.create_task(self.grpc.stop(self._settings.shutdown_grace_seconds))
        self._health.end_watches()
        await stopping
        self._log.info("stopped")


async def run_until_signal(
    server: Server,
    port: int,
    *,
    on_start: Callable[[], Awaitable[None]] | None = None,
    beside: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Start, run `on_start` while health says NOT_SERVING, serve until SIGTERM or SIGINT, drain.

    `beside` runs as long as calls are served, and reports health itself; without it all is SERVING from then on. An
    exception of either stops the server and is raised. A signal cancels both.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start(port)
    stopping = asyncio.create_task(stop.wait())
    try:
        if on_start is not None:
            starting = asyncio.ensure_future(on_start())
            try:
                await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                unfinished = not starting.done()
                await tasks.cancel(starting)  # it may have to clean up
            if unfinished:
                return
            await starting
        if beside is None:
            await server.set_ready(True)
            await stopping
        else:
            working = asyncio.ensure_future(beside())
            try:
                await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                unfinished = not working.done()
                await tasks.cancel(working)
            if not unfinished:
                await working
    finally:
        stopping.cancel()
        await server.drain()


def server_options(settings: ServiceSettings) -> list[tuple[str, int]]:
    """What the gRPC server is told at its start."""
    return [
        # Without this a second process could bind the same port and take half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.grpc_max_message_bytes),
        ("grpc.max_send_message_length", -1),  # the receiver decides
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        # Between the two gRPC would refuse some calls at random.
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        # New calls go elsewhere then. There is no age of grace: calls in progress take their time, an import its hours.
        ("grpc.max_connection_age_ms", int(settings.max_connection_age_seconds * 1000)),
        # TLS and the first words of HTTP/2; by default who says nothing may stay for two minutes.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MILLISECONDS),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    ]
