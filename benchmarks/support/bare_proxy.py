"""The least that a proxy in Python can do: two hops of grpc.aio, and nothing of ours between them.

No metadata, no deadlines, no log, no metrics. What it adds to a call is what grpc.aio costs on this machine; no gateway
that is built on it adds less. Serves until its standard input ends.

Environment: PROXY_TARGETS, pairs of a service's full name and its address: `a.b.C=host:port,d.e.F=host:port`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import grpc

_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


class BareProxy(grpc.GenericRpcHandler):
    """Passes unary calls on, by service."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._channels = channels
        self._handlers: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, made when it is first asked for."""
        path = handler_call_details.method
        if path not in self._handlers:
            self._handlers[path] = self._handler(path)
        return self._handlers[path]

    def _handler(self, path: str) -> Any:
        call: Any = self._channels[path.split("/")[1]].unary_unary(path)

        async def pass_on(request: bytes, _context: Any) -> Any:
            return await call(request)

        return grpc.unary_unary_rpc_method_handler(pass_on)


async def _serve() -> None:
    targets = dict(pair.split("=") for pair in os.environ["PROXY_TARGETS"].split(","))
    channels = {name: grpc.aio.insecure_channel(target, options=_OPTIONS) for name, target in targets.items()}
    server = grpc.aio.server(handlers=[BareProxy(channels)], options=_OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"event": "listening", "address": f"127.0.0.1:{port}"}), file=sys.stderr, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)
    await asyncio.gather(*(channel.close() for channel in channels.values()))


if __name__ == "__main__":
    asyncio.run(_serve())
