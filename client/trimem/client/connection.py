"""Where the gateway is and how to get there: arguments first, then the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

DEFAULT_URL = "127.0.0.1:50050"

#: Schemes that a URL may have, and whether each means TLS.
_SCHEMES = {"http": False, "https": True, "grpc": False, "grpcs": True}

OPTIONS: list[tuple[str, str | int]] = [
    # Several gateways behind one name share the calls: dns:///gateway:50050.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # Pages and batches are bounded by the server, which also has the say about what it takes.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A gateway that restarts should be found again within seconds, not after the default of up to 2 minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A client that was closed must not lend its connection to the next one.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway and the credentials for it."""

    target: str
    #: None is plaintext.
    credentials: grpc.ChannelCredentials | None = None
    api_key: str | None = field(default=None, repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return () if self.api_key is None else (("authorization", f"Bearer {self.api_key}"),)


def connection(
    url: str | None = None,
    *,
    api_key: str | None = None,
    tls: bool | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    cert_file: str | os.PathLike[str] | None = None,
    key_file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Connection:
    """The connection that arguments and environment describe. Raises ValueError naming what cannot be used.

    `url` is `host:port`, with `https://` before it for TLS, or another name that gRPC resolves. TLS is used as well
    when `tls` is true or one of the files is given.
    """
    given = url or environ.get("TRIMEM_URL") or DEFAULT_URL
    target, scheme_tls = _target(given)
    ca_file = ca_file or environ.get("TRIMEM_CA_FILE") or None
    cert_file = cert_file or environ.get("TRIMEM_CERT_FILE") or None
    key_file = key_file or environ.get("TRIMEM_KEY_FILE") or None
    if (cert_file is None) != (key_file is None):
        raise ValueError("TRIMEM_CERT_FILE and TRIMEM_KEY_FILE go together: a certificate, and its key")
    if tls is None:
        tls = _flag("TRIMEM_TLS", environ.get("TRIMEM_TLS", ""))
    if tls is None:
        tls = scheme_tls if scheme_tls is not None else ca_file is not None or cert_file is not None
    credentials = None
    if tls:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_read("TRIMEM_CA_FILE", ca_file),
            private_key=_read("TRIMEM_KEY_FILE", key_file),
            certificate_chain=_read("TRIMEM_CERT_FILE", cert_file),
        )
    return Connection(target, credentials, _accepted_key(api_key or _key_of(environ)))


def _target(url: str) -> tuple[str, bool | None]:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url, None
    if scheme not in _SCHEMES:  # `dns:///name:port` and the like are gRPC's own
        return url, None
    if not rest.strip("/") or "/" in rest.rstrip("/"):
        raise ValueError(f"{url!r} is not the address of a gateway: host:port, with https:// before it for TLS")
    return rest.rstrip("/"), _SCHEMES[scheme]


def _flag(name: str, value: str) -> bool | None:
    match value.strip().lower():
        case "":
            return None
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError(f"{name} must be true or false")


def _key_of(environ: Mapping[str, str]) -> str | None:
    if key := environ.get("TRIMEM_API_KEY"):
        return key
    file = environ.get("TRIMEM_API_KEY_FILE")
    content = _read("TRIMEM_API_KEY_FILE", file) if file else None
    return content.decode(errors="replace") if content else None


def _accepted_key(key: str | None) -> str | None:
    key = (key or "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("the API key has characters that no API key has")  # which ones is nobody's business
    return key or None


def _read(name: str, path: str | os.PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{name}={os.fspath(path)} cannot be read: {error.strerror}") from None
