"""What the gateway can be told by its environment."""

from pydantic import Field

from servicekit.settings import ServiceSettings


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
    http_max_body_bytes: int = Field(
        16 * 1024 * 1024, ge=1024, le=1024**3, description="Largest HTTP request body taken, in bytes"
    )
