"""What the store can be told by its environment."""

from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from servicekit.settings import ServiceSettings
from store.events import FailStrategy

#: Bytes of a message with a file that are not its content, at most: path, repository, and what frames them.
_BESIDE_A_FILE = 4096


class StoreSettings(ServiceSettings):
    """Knobs of the store."""

    store_port: int = Field(50052, ge=0, le=65535, description="Port of the gRPC server; 0 asks for any")
    store_metrics_port: int = Field(9102, ge=0, le=65535, description="Port of the Prometheus metrics; 0 asks for any")

    database_url: SecretStr = Field(
        description="postgresql://user:password@host:port/name; ?sslmode= and ?host=/socket/dir are understood"
    )
    database_pool_min_size: int = Field(2, ge=1, le=1000, description="Connections kept open")
    database_pool_max_size: int = Field(
        10, ge=2, le=1000, description="Most connections of one process; one of them is the backfill's while it works"
    )
    database_start_timeout_seconds: float = Field(
        30, ge=0, le=3600, description="How long a starting store waits for its database"
    )
    database_acquire_timeout_seconds: float = Field(
        10, gt=0, le=600, description="How long a call waits for a free connection before RESOURCE_EXHAUSTED"
    )
    migration_lock_timeout_seconds: float = Field(
        10, gt=0, le=3600, description="How long a migration waits for a lock that others hold before it gives up"
    )
    migration_statement_timeout_seconds: float = Field(
        3600, gt=0, le=7 * 86400, description="Longest that one statement of a migration may run"
    )

    embedder_target: str = Field("127.0.0.1:50051", description="Where the embedder is; dns:///name:port for replicas")
    embedder_next_target: str = Field(
        "",
        description="Where an embedder with another TEXT model is, while `python -m store reembed` changes the model: "
        "of the two the one is asked whose model made the stored vectors",
    )
    embedder_timeout_seconds: float = Field(
        60, gt=0, le=3600, description="Longest wait for one answer of the embedder, the caller's deadline permitting"
    )
    embedding_dimension: int = Field(
        768,
        ge=1,
        le=2000,
        description="Length of the vectors: that of the embedder's TEXT model; HNSW takes up to 2000",
    )
    embedding_auto_generate: bool = Field(True, description="Embed events when they are written")
    embedding_fail_strategy: FailStrategy = Field(
        FailStrategy.SOFT, description="Embedder down: soft stores the event and embeds it later, hard refuses it"
    )
    embedding_max_attempts: int = Field(
        5, ge=1, le=100, description="Tries of a text that makes the embedder fail, before its event is FAILED"
    )
    backfill_interval_seconds: float = Field(
        5, gt=0, le=3600, description="Time between looks for events that wait for their embedding"
    )

    events_partitions_ahead: int = Field(
        4, ge=1, le=120, description="Months after the current one that have a partition before there are events"
    )
    events_max_partitions: int = Field(
        400, ge=2, le=10_000, description="Most months with events; an event of one more is INVALID_ARGUMENT"
    )
    events_retention_months: int = Field(
        0, ge=0, le=1200, description="Months before the current one that are kept; older ones are dropped. 0 keeps all"
    )

    code_max_file_bytes: int = Field(
        1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest source file that is indexed"
    )
    code_max_indexings: int = Field(
        4,
        ge=1,
        le=100,
        description="Calls of IndexFiles and DeleteRepository at once; each has a connection beside the pool",
    )

    @field_validator("database_url")
    @classmethod
    def _plain_postgres_url(cls, value: SecretStr) -> SecretStr:
        """Bring the monolith's SQLAlchemy form to the plain one; the value itself never gets into a message."""
        try:
            parts = urlsplit(value.get_secret_value())
            _ = parts.port
        except ValueError:  # its text may quote a part of the password
            raise ValueError("is not a URL; characters such as / # @ in a password must be written as %2F") from None
        if parts.scheme not in ("postgres", "postgresql", "postgresql+asyncpg"):
            raise ValueError("must begin with postgresql:// or postgresql+asyncpg://")
        # `ssl` is what SQLAlchemy users write; libpq and asyncpg call it sslmode.
        query = [("sslmode" if key == "ssl" else key, item) for key, item in parse_qsl(parts.query)]
        return SecretStr(urlunsplit(parts._replace(scheme="postgresql", query=urlencode(query, safe="/"))))

    @model_validator(mode="after")
    def _files_fit_into_messages(self) -> Self:
        """Those that somebody asked for: who takes small messages need not know of code."""
        asked = "code_max_file_bytes" in self.model_fields_set
        if asked and self.code_max_file_bytes + _BESIDE_A_FILE > self.grpc_max_message_bytes:
            raise ValueError(
                f"CODE_MAX_FILE_BYTES must be at least {_BESIDE_A_FILE} less than GRPC_MAX_MESSAGE_BYTES: "
                "a file comes in one message, with its path"
            )
        return self

    @model_validator(mode="after")
    def _pool_has_room(self) -> Self:
        if self.database_pool_min_size > self.database_pool_max_size:
            raise ValueError("DATABASE_POOL_MIN_SIZE must not be more than DATABASE_POOL_MAX_SIZE")
        return self
