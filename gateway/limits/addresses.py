"""Whom an IP address stands for."""

from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import unquote

#: What one customer of a provider gets at least; a limit for each address of it would be none.
_IPV6_PREFIX = 64


def address_of_peer(peer: str) -> str:
    """The IP address in what gRPC calls a peer, such as `ipv4:127.0.0.1:5005` or `ipv6:%5B::1%5D:5005`."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return peer  # a Unix socket: all its callers are one
    return unquote(rest).rpartition(":")[0].strip("[]")


def holder_of_address(address: str) -> str:
    """Who shares one limit: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ip_address(address.partition("%")[0])  # without the name of an interface
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
