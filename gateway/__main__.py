"""`python -m gateway`"""

import sys
from functools import partial

from gateway.backend_health import report_health
from gateway.backends import open_backends
from gateway.server import GatewayServer
from gateway.settings import GatewaySettings
from servicekit.main import main
from servicekit.server import run_until_signal
from servicekit.telemetry import new_registry


async def run(settings: GatewaySettings) -> None:
    """Serve gRPC and HTTP until a signal comes."""
    async with open_backends(settings) as backends:
        server = GatewayServer(settings, new_registry(), backends)

        async def start_http() -> None:
            await server.http.start(settings.gateway_http_port)

        health = partial(report_health, server, backends)
        await run_until_signal(server, settings.gateway_port, on_start=start_http, beside=health)


if __name__ == "__main__":
    sys.exit(main("gateway", GatewaySettings, run))
