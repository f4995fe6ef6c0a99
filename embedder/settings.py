"""What the embedder can be told by its environment."""

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from servicekit.settings import Environment, ServiceSettings


class EmbeddingMode(StrEnum):
    """Where vectors come from."""

    REAL = "real"
    MOCK = "mock"


class EngineChoice(StrEnum):
    """What runs a model."""

    AUTO = "auto"
    TORCH = "torch"
    ONNX = "onnx"


class Precision(StrEnum):
    """Number format of weights."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


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
    embedding_engine: EngineChoice = Field(
        EngineChoice.AUTO,
        description="torch, onnx, or auto for the TEXT model: what the catalogue says, onnx for int8, else torch",
    )
    code_embedding_engine: EngineChoice = Field(EngineChoice.AUTO, description="The same for the CODE model")
    embedding_precision: Precision = Field(
        Precision.AUTO,
        description="fp32, bf16, fp16, int8 (with onnx), or auto: bf16 on a CPU that has it, fp16 on CUDA, else fp32. "
        "onnx knows fp32 and int8",
    )
    embedding_threads: int = Field(0, ge=0, le=1024, description="Threads that a model computes with; 0: one a core")
    embedding_catalogue_file: Path | None = Field(
        None, description="TOML file with models that the built-in catalogue does not know, or knows otherwise"
    )
    embedding_cache_size: int = Field(
        10_000, ge=0, description="Embeddings that are kept in memory for equal inputs; 0: none"
    )
    embedding_cache_mb: int = Field(64, ge=0, description="Memory that they may take, in MiB; 0: none are kept")
    embedding_queue_max_items: int = Field(
        4_096, ge=1, description="Inputs that may wait for a model; beyond that calls are answered RESOURCE_EXHAUSTED"
    )
    embedding_queue_max_tokens: int = Field(262_144, ge=1, description="Tokens that may wait for a model")
    embedding_batch_tokens: int = Field(
        0, ge=0, description="Padded tokens that go through a model together; 0: what is best for the device"
    )
    embedding_memory_budget_mb: int = Field(
        0,
        ge=0,
        description="Resident memory that loading a model may not exceed, in MiB; 0: nine tenths of the limit of the "
        "control group, if there is one",
    )
    embedding_idle_unload_seconds: float = Field(
        0, ge=0, description="Free a model that nobody has used for so long; 0: never. The next call loads it again"
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
