"""A name server on loopback, for names with several addresses that come and go."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from dnslib import QTYPE, RCODE, RR, A, DNSRecord


class Names(asyncio.DatagramProtocol):
    """Answers A queries for the names it knows; a name that it does not know does not exist."""

    def __init__(self) -> None:
        #: Addresses by name. Changes count from the next query on.
        self.addresses: dict[str, list[str]] = {}
        #: How often the addresses of a name were asked for.
        self.queries: Counter[str] = Counter()
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def target(self, name: str, port: int) -> str:
        """The gRPC target of a port of all addresses of a name."""
        return f"dns://127.0.0.1:{self.port}/{name}:{port}"

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = DNSRecord.parse(data)
        name = str(query.q.qname).rstrip(".").lower()
        reply = query.reply()
        if name not in self.addresses:
            reply.header.rcode = RCODE.NXDOMAIN
        elif query.q.qtype == QTYPE.A:  # other kinds get an empty answer
            self.queries[name] += 1
            for address in self.addresses[name]:
                reply.add_answer(RR(query.q.qname, QTYPE.A, rdata=A(address), ttl=0))
        assert self._transport is not None
        self._transport.sendto(reply.pack(), addr)


@asynccontextmanager
async def name_server(**addresses: Iterable[str]) -> AsyncIterator[Names]:
    """A name server that knows `name.test` for each `name=[address, ...]`."""
    transport, names = await asyncio.get_running_loop().create_datagram_endpoint(Names, ("127.0.0.1", 0))
    names.addresses = {f"{name}.test": list(values) for name, values in addresses.items()}
    try:
        yield names
    finally:
        transport.close()
