"""What every service can be told by its environment."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError


class Environment(StrEnum):
    """Where the service runs. Shortcuts that are unsafe for real data are refused in production."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class FileSettingsSource(PydanticBaseSettingsSource):
    """Reads NAME from the file that NAME_FILE names: how orchestrators hand over secrets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the signature is pydantic's
        variable = f"{field_name.upper()}_FILE"
        path = os.environ.get(variable)
        try:
            return (Path(path).read_text(encoding="utf-8").strip() if path else None), field_name, False
        except OSError as error:
            raise SettingsError(f"{variable}: cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{variable}: {path} is not UTF-8 text") from None

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class ServiceSettings(BaseSettings):
    """Knobs that all three services have. A variable is the upper-case name of the field.

    Sources, strongest first: environment, `NAME_FILE`, `.env`, the secrets directory `/run/secrets`, defaults.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        secrets_dir="/run/secrets" if Path("/run/secrets").is_dir() else None,
        extra="ignore",
        env_ignore_empty=True,  # compose files pass on variables that nobody set
        hide_input_in_errors=True,
    )

    environment: Environment = Field(Environment.DEVELOPMENT, description="development, test or production")
    debug: bool = Field(False, description="Log at DEBUG level. Never changes what callers see")
    bind_address: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 inside a container")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    log_format: LogFormat = Field(LogFormat.JSON, description="json for machines, console for people")
    grpc_max_message_bytes: int = Field(
        16 * 1024 * 1024, ge=64 * 1024, le=1024**3, description="Largest message taken, in bytes"
    )
    max_connection_age_seconds: float = Field(
        300, gt=0, description="Age at which clients are asked to reconnect, so that new replicas get their share"
    )
    max_concurrent_streams: int = Field(
        1_000, ge=1, le=1_000_000, description="Calls in progress on one gRPC connection; more of them wait"
    )
    drain_delay_seconds: float = Field(
        0.3, ge=0, le=60, description="Time between saying NOT_SERVING and refusing calls, for balancers to notice"
    )
    shutdown_grace_seconds: float = Field(10, ge=0, le=600, description="Time that calls in flight get to finish")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, FileSettingsSource(settings_cls), dotenv_settings, file_secret_settings
