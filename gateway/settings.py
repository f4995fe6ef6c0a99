"""What the gateway can be told by its environment."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from servicekit.settings import Environment, ServiceSettings


class GatewaySettings(ServiceSettings):
    """Knobs of the gateway. A variable is the upper-case name of the field."""

    gateway_port: int = Field(50050, ge=0, le=65535, description="Port for gRPC; 0 takes any free one")
    gateway_http_port: int = Field(
        8080, ge=0, le=65535, description="Port for HTTP/JSON, /health and /metrics; 0 takes any free one"
    )
    embedder_target: str = Field(
        "127.0.0.1:50051",
        min_length=1,
        description="Where the embedder is: host:port, or dns:///name:port for several replicas",
    )
    store_target: str = Field("127.0.0.1:50052", min_length=1, description="Where the store is, in the same form")
    default_deadline_seconds: float = Field(
        30, gt=0, le=3600, description="Time for an HTTP request, and for a gRPC call whose caller sets no deadline"
    )
    max_deadline_seconds: float = Field(
        300,
        gt=0,
        le=86400,
        description="Most that the caller of a unary call may ask for, and the longest silence of a stream",
    )
    http_max_body_bytes: int = Field(
        16 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        description="Largest HTTP request body taken, in bytes; of a stream the longest line",
    )
    http_max_header_bytes: int = Field(
        16 * 1024, ge=1024, le=1024**2, description="Largest headers of an HTTP request, all together, in bytes"
    )
    http_read_timeout_seconds: float = Field(
        20,
        gt=0,
        le=3600,
        description="Time for the headers of an HTTP request, for its body, and for each line of a stream to come, and "
        "for clients to read what they are sent",
    )
    http_keepalive_seconds: float = Field(
        75, gt=0, le=3600, description="Time after which an HTTP connection is closed that nobody uses"
    )
    http_max_connections: int = Field(
        1000, ge=1, le=10**6, description="HTTP connections at once; what comes beyond is closed without an answer"
    )
    http_cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins whose web pages may use the API, such as https://app.example.com,http://localhost:3000; "
        "* is all. None by default",
    )

    api_keys_file: Path | None = Field(
        None, description="File of API keys, written by `trimem keys`. Without it anybody may call; not in production"
    )
    rate_limit_requests_per_second: float = Field(
        0, ge=0, le=1e6, description="Calls of one key, or of one address where there are no keys; 0 is no limit"
    )
    rate_limit_burst: int = Field(100, ge=1, le=10**6, description="Calls that one key may make at once")
    rate_limit_texts_per_second: float = Field(
        0,
        ge=0,
        le=1e6,
        description="Texts that one key may have embedded; streams are slowed to it. 0 is no limit",
    )
    rate_limit_texts_burst: int = Field(
        2048, ge=1, le=10**6, description="Texts that one key may have embedded at once; a request may have more"
    )
    rate_limit_address_requests_per_second: float = Field(
        0,
        ge=0,
        le=1e6,
        description="Calls of one IPv4 address or IPv6 /64, with a valid key or without. Behind a proxy all callers "
        "have the address of the proxy. 0 is no limit",
    )
    rate_limit_address_burst: int = Field(200, ge=1, le=10**6, description="Calls that one address may make at once")
    max_keyless_streams_per_address: int = Field(
        1_000,
        ge=1,
        le=10**6,
        description="Watches of health and streams of reflection, which need no key, of one IPv4 address or IPv6 /64 "
        "at once. A client of ours has one watch a connection; behind a proxy all have the address of the proxy",
    )

    @field_validator("http_cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        """A list with commas, as environment variables are written."""
        origins = [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value
        for origin in origins if isinstance(origins, list | tuple) else ():
            # As browsers send it: without a path, which would never be equal.
            if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s,*]+", str(origin)):
                raise ValueError("must be origins such as https://app.example.com, without a path, or *")
        return origins

    @model_validator(mode="after")
    def _deadlines_fit(self) -> Self:
        if self.default_deadline_seconds > self.max_deadline_seconds:
            raise ValueError("DEFAULT_DEADLINE_SECONDS must not be longer than MAX_DEADLINE_SECONDS")
        return self

    @model_validator(mode="after")
    def _production_has_keys(self) -> Self:
        if self.environment is Environment.PRODUCTION and self.api_keys_file is None:
            raise ValueError("API_KEYS_FILE is required when ENVIRONMENT=production: see `trimem keys --help`")
        return self
