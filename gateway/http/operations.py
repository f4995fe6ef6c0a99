"""What operators and balancers ask: is it alive, may it get requests, is all behind it well, and how is it doing."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway.auth.scopes import Scope
from gateway.backends import Backend
from gateway.http.routes import Endpoint, Route
from gateway.http.templates import PathTemplate

#: Longest wait for a backend's answer; balancers give up on ours soon after.
_CHECK_SECONDS = 2.0


class Operations:
    """`GET /health`, `/livez`, `/readyz` and `/metrics`."""

    def __init__(self, backends: Sequence[Backend], registry: CollectorRegistry) -> None:
        self._registry = registry
        self._draining = False
        self._asking: asyncio.Future[dict[str, bool]] | None = None
        self._checks: dict[str, Any] = {
            backend.name: health_pb2_grpc.HealthStub(backend.channel).Check for backend in backends
        }

    def routes(self) -> list[Route]:
        """The routes to all of them."""
        return [
            _route("/health", self.health, None),
            _route("/livez", self.livez, None),
            _route("/readyz", self.readyz, None),
            _route("/metrics", self.metrics, Scope.METRICS),
        ]

    def set_draining(self) -> None:
        """Report unhealthy from now on, so that balancers send requests elsewhere."""
        self._draining = True

    async def health(self, _request: web.BaseRequest, _variables: dict[str, str]) -> web.Response:
        """The state of the parts: 200 when all of them are up, 503 otherwise.

        `healthy`: all are up. `degraded`: some are. `unhealthy`: none is, or the gateway is shutting down.
        """
        up = await self._up()
        healthy = all(up.values()) and not self._draining
        status = "healthy" if healthy else "degraded" if any(up.values()) and not self._draining else "unhealthy"
        body = {
            "status": status,
            "timestamp": datetime.now(UTC).isoformat(),
            "services": {name: "up" if is_up else "down" for name, is_up in up.items()},
        }
        return web.json_response(body, status=200 if healthy else 503)

    async def livez(self, _request: web.BaseRequest, _variables: dict[str, str]) -> web.Response:
        """200 as long as the process answers: a restart would mend nothing else."""
        return web.json_response({"status": "alive"})

    async def readyz(self, _request: web.BaseRequest, _variables: dict[str, str]) -> web.Response:
        """200 when this gateway should get requests, else 503 with the reasons.

        One backend that is down is no reason: all gateways would leave the balancer together, and callers would get no
        answer instead of one that says what is down.
        """
        up = await self._up()
        reasons = [] if any(up.values()) else [f"the {name} is down" for name in up]
        if self._draining:
            reasons.append("the gateway is shutting down")
        body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return web.json_response(body, status=503 if reasons else 200)

    async def metrics(self, request: web.BaseRequest, _variables: dict[str, str]) -> web.Response:
        """Metrics of the gateway process, in the format that the client prefers."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _up(self) -> dict[str, bool]:
        """Which backends are up. They are asked once at a time: anybody may ask this, as often as they like."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> dict[str, bool]:
        up = await asyncio.gather(*map(_is_up, self._checks.values()))
        return dict(zip(self._checks, up, strict=True))


def _route(path: str, endpoint: Endpoint, scope: Scope | None) -> Route:
    return Route(
        method="GET", template=PathTemplate.parse(path), endpoint=endpoint, scope=scope, is_infrastructure=True
    )


async def _is_up(check: Any) -> bool:
    try:
        answer = await check(health_pb2.HealthCheckRequest(), timeout=_CHECK_SECONDS)
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
