"""What the embedder can be told by its environment."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from servicekit.settings import Environment, ServiceSettings


class EmbeddingMode(StrEnum):
    """Where vectors come from."""

    REAL = "real"
    MOCK = "mock"


class Device(StrEnum):
    """Where models run."""

    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"
    AUTO = "auto"


_REFERENCE = "a hub id `owner/name[@revision]`, a local directory, or `package:<python package that carries a model>`"


class EmbedderSettings(ServiceSettings):
    """Knobs of the embedder. A variable is the upper-case name of the field."""

    embedder_port: int = Field(50051, ge=0, le=65535, description="Port for gRPC; 0 asks for any")
    embedder_metrics_port: int = Field(9101, ge=0, le=65535, description="Port for Prometheus metrics; 0 asks for any")
    embedding_mode: EmbeddingMode = Field(
        EmbeddingMode.REAL, description="real, or mock: deterministic vectors for tests, refused in production"
    )
    embedding_model: str = Field(
        "nomic-ai/nomic-embed-text-v1.5", min_length=1, description=f"Model of the TEXT domain: {_REFERENCE}"
    )
    embedding_dimension: int = Field(768, ge=1, le=16_000, description="Length of the vectors of the TEXT model")
    code_embedding_model: str = Field(
        "jinaai/jina-embeddings-v2-base-code", min_length=1, description=f"Model of the CODE domain: {_REFERENCE}"
    )
    code_embedding_dimension: int = Field(
        768, ge=1, le=16_000, description="Length of the vectors of the CODE model; must equal EMBEDDING_DIMENSION"
    )
    embedding_device: Device = Field(
        Device.CPU, description="cpu, cuda, mps, or auto: the fastest of these that this machine has"
    )
    embedding_preload: bool = Field(
        True, description="Load both models before reporting SERVING; false loads each on its first use"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.embedding_dimension != self.code_embedding_dimension:
            raise ValueError(
                f"EMBEDDING_DIMENSION is {self.embedding_dimension} and CODE_EMBEDDING_DIMENSION is "
                f"{self.code_embedding_dimension}: the two must be equal, so choose models of one dimension"
            )
        if self.embedding_mode is EmbeddingMode.MOCK and self.environment is Environment.PRODUCTION:
            raise ValueError(
                "EMBEDDING_MODE=mock is refused when ENVIRONMENT=production: its vectors know nothing of meaning"
            )
        return self
