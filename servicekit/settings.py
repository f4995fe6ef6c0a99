"""What every service can be told by its environment."""

import os
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from servicekit.tls import CertificateFiles, NamedFile


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
        1_000,
        ge=2,
        le=1_000_000,
        description="Calls in progress on one gRPC connection; more wait or fail UNAVAILABLE. A watch of health is one",
    )
    drain_delay_seconds: float = Field(
        0.3, ge=0, le=60, description="Time between saying NOT_SERVING and refusing calls, for balancers to notice"
    )
    shutdown_grace_seconds: float = Field(10, ge=0, le=600, description="Time that calls in flight get to finish")
    tls_cert_file: Path | None = Field(
        None,
        description="Certificate (chain) in PEM that every port shows; without it no TLS. Read again when it changes",
    )
    tls_key_file: Path | None = Field(None, description="Its private key, in PEM and without a password")
    tls_client_ca_file: Path | None = Field(
        None, description="Authorities in PEM: every client must show a certificate of one of them"
    )
    channel_tls: bool = Field(False, description="Speak TLS with the other services")
    channel_ca_file: Path | None = Field(
        None, description="Authorities in PEM that their certificates come from. Default: those that gRPC knows"
    )
    channel_cert_file: Path | None = Field(
        None, description="Certificate (chain) in PEM to show them, where they ask for one"
    )
    channel_key_file: Path | None = Field(None, description="Its private key, in PEM and without a password")
    otel_exporter_otlp_endpoint: str = Field(
        "",
        description="Where traces go by OTLP, such as http://127.0.0.1:4318; none are made without. Other variables of "
        "OpenTelemetry work too",
    )

    def listener_files(self) -> CertificateFiles | None:
        """What ports show, or None without TLS. Raises ValueError for settings that contradict each other."""
        certificate, key = self._pair("tls_cert_file", "tls_key_file")
        if certificate is None and self.tls_client_ca_file is not None:
            raise ValueError("TLS_CLIENT_CA_FILE is of no use without TLS_CERT_FILE and TLS_KEY_FILE")
        authorities = self._file("tls_client_ca_file")
        return None if certificate is None else CertificateFiles(certificate, key, authorities)

    def channel_files(self) -> CertificateFiles | None:
        """What channels to the other services show and believe, or None without TLS. Raises ValueError likewise."""
        certificate, key = self._pair("channel_cert_file", "channel_key_file")
        files = CertificateFiles(certificate, key, self._file("channel_ca_file"))
        if self.channel_tls:
            return files
        if files != CertificateFiles():
            raise ValueError(f"{files} is of no use without CHANNEL_TLS=true")
        return None

    def _pair(self, certificate: str, key: str) -> tuple[NamedFile | None, NamedFile | None]:
        pair = self._file(certificate), self._file(key)
        match pair:
            case NamedFile(), None:
                raise ValueError(f"{certificate.upper()} is of no use without {key.upper()}")
            case None, NamedFile():
                raise ValueError(f"{key.upper()} is of no use without {certificate.upper()}")
        return pair

    def _file(self, name: str) -> NamedFile | None:
        path: Path | None = getattr(self, name)
        return None if path is None else NamedFile(name.upper(), path)

    @model_validator(mode="after")
    def _certificates_can_be_used(self) -> Self:
        for files in (self.listener_files(), self.channel_files()):
            if files is not None:
                files.load()
        return self

    @model_validator(mode="after")
    def _traces_can_be_sent(self) -> Self:
        if self.otel_exporter_otlp_endpoint and find_spec("opentelemetry.sdk") is None:
            raise ValueError("OTEL_EXPORTER_OTLP_ENDPOINT is set, but trimem is installed without its extra `tracing`")
        return self

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
