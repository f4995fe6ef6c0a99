"""What the gateway's health service says of the services behind it."""

import asyncio
from collections.abc import Iterable

import grpc

from gateway.backends import Backend
from servicekit.server import Server


async def report_health(server: Server, backends: Iterable[Backend]) -> None:
    """Report the gateway itself as SERVING, and each public service while a backend of it is healthy; for ever.

    The state of a channel says it, because our channels ask backends for their health: READY is one that is connected
    to at least one backend that says SERVING.
    """
    await server.set_ready(True, "")
    async with asyncio.TaskGroup() as tasks:
        for backend in backends:
            tasks.create_task(_follow(server, backend))


async def _follow(server: Server, backend: Backend) -> None:
    while True:
        state = backend.channel.get_state(try_to_connect=True)
        if state is not grpc.ChannelConnectivity.CONNECTING:  # that may end either way
            for service in backend.services:
                await server.set_ready(state is grpc.ChannelConnectivity.READY, service.full_name)
        await backend.channel.wait_for_state_change(state)
