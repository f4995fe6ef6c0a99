"""Channels to other services of ours."""

import json
from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from servicekit import tracing
from servicekit.channel_layers import RenewedChannel
from servicekit.tls import CertificateFiles, Watched, channel_credentials


def open_channel(
    target: str,
    services: Iterable[ServiceDescriptor],
    *,
    max_message_bytes: int,
    tls: CertificateFiles | None = None,
) -> grpc.aio.Channel:
    """A channel that spreads calls over all addresses of `target` and leaves out those that are not healthy.

    `target` is `host:port`, or any name that gRPC resolves; use `dns:///name:port` where the name has several
    addresses. Methods marked NO_SIDE_EFFECTS or IDEMPOTENT in their proto are retried on UNAVAILABLE, within the
    deadline of the call. Deadlines are the caller's: see `servicekit.context.outgoing`. With `tls` the server's
    certificate must be one for `target` without its port. Raises CertificateError.
    """
    options = _options(list(services), max_message_bytes)
    channel: grpc.aio.Channel
    if tls is None:
        channel = grpc.aio.insecure_channel(target, options)
    else:
        channel = RenewedChannel(
            Watched(tls),
            lambda certificates: grpc.aio.secure_channel(target, channel_credentials(certificates), options),
        )
    return channel if (tracer := tracing.active()) is None else tracer.traced(channel)


def _options(services: list[ServiceDescriptor], max_message_bytes: int) -> list[tuple[str, int | str]]:
    return [
        ("grpc.service_config", json.dumps(service_config(services))),
        ("grpc.enable_retries", 1),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),  # the receiver decides
        # A backend that restarts should be found again within seconds, not after the default of up to 2 minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 3_000),
        # gRPC asks for the addresses of a name again only when it loses a connection, and then no sooner than 30
        # seconds after it asked last: so long it would miss a replica that came back under another address.
        ("grpc.dns_min_time_between_resolutions_ms", 3_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A channel that was closed must not lend its connection to the next one.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def service_config(services: list[ServiceDescriptor]) -> dict[str, Any]:
    """The gRPC service config: balancing, client-side health checks, retries. No timeouts: that knob fires early."""
    repeatable = (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)
    names = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if method.GetOptions().idempotency_level in repeatable
    ]
    config: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        # The empty name is the health of the whole process, which every server of ours reports.
        "healthCheckConfig": {"serviceName": ""},
        # Retries stop while more than about one call in ten fails, so that an outage is not made worse.
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
    if names:
        config["methodConfig"] = [
            {
                "name": names,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    return config
