"""Where settings come from, which source wins, and what is said about wrong ones."""

from pathlib import Path
from typing import Self

import pytest
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict, SettingsError

from servicekit.settings import Environment, LogFormat, ServiceSettings

SECRET = "hunter2-hunter2"


class Settings(ServiceSettings):
    """A service with a secret and a number."""

    token: SecretStr = Field(SecretStr("from the defaults"), description="A secret")
    pool_size: int = Field(4, ge=1, description="A number")

    @field_validator("token")
    @classmethod
    def _has_no_blanks(cls, token: SecretStr) -> SecretStr:
        if token.get_secret_value().startswith("!"):
            raise ValueError("must not begin with an exclamation mark")
        return token

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.environment is Environment.PRODUCTION and self.debug:
            raise ValueError("DEBUG is not for production")
        return self


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and none of the variables of whoever runs the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def token(settings: Settings) -> str:
    return settings.token.get_secret_value()


def test_without_any_source_every_setting_has_its_default() -> None:
    settings = Settings()
    assert (settings.environment, settings.log_format) == (Environment.DEVELOPMENT, LogFormat.JSON)
    assert settings.bind_address == "127.0.0.1"
    assert token(settings) == "from the defaults"


def test_the_stronger_source_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = folder / "secrets"
    secrets.mkdir()

    class WithSecrets(Settings):
        model_config = SettingsConfigDict(secrets_dir=str(secrets))

    assert token(WithSecrets()) == "from the defaults"
    (secrets / "token").write_text("from the secrets directory")
    assert token(WithSecrets()) == "from the secrets directory"
    (folder / ".env").write_text("TOKEN=from .env\n")
    assert token(WithSecrets()) == "from .env"
    (folder / "given").write_text("from the file")
    monkeypatch.setenv("TOKEN_FILE", str(folder / "given"))
    assert token(WithSecrets()) == "from the file"
    monkeypatch.setenv("TOKEN", "from the environment")
    assert token(WithSecrets()) == "from the environment"
    assert token(WithSecrets(token=SecretStr("from the caller"))) == "from the caller"


def test_the_newline_at_the_end_of_a_file_is_not_part_of_the_value(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "given").write_text(f"{SECRET}\n")
    monkeypatch.setenv("TOKEN_FILE", "given")
    assert token(Settings()) == SECRET


def test_a_file_can_give_a_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "given").write_text("9\n")
    monkeypatch.setenv("POOL_SIZE_FILE", "given")
    assert Settings().pool_size == 9


def test_an_empty_name_of_a_file_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_FILE", "")
    assert token(Settings()) == "from the defaults"


def test_a_file_that_is_missing_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_FILE", "/no/such/file")
    with pytest.raises(SettingsError, match=r"^TOKEN_FILE: cannot read /no/such/file: No such file or directory$"):
        Settings()


def test_a_folder_in_place_of_a_file_is_named_with_its_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_FILE", str(folder))
    with pytest.raises(SettingsError, match=r"^TOKEN_FILE: cannot read .*: Is a directory$"):
        Settings()


def test_a_file_that_is_not_text_is_named_and_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "given").write_bytes(SECRET.encode() + b"\xff")
    monkeypatch.setenv("TOKEN_FILE", "given")
    with pytest.raises(SettingsError, match=r"^TOKEN_FILE: given is not UTF-8 text$") as caught:
        Settings()
    assert caught.value.__cause__ is None


def test_variables_of_other_programs_in_dot_env_are_ignored(folder: Path) -> None:
    (folder / ".env").write_text("POOL_SIZE=7\nSOMEBODY_ELSES=1\nEDITOR=vi\n")
    assert Settings().pool_size == 7


def test_the_name_of_a_variable_may_have_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("pool_size", "5")
    assert Settings().pool_size == 5


@pytest.mark.parametrize(
    ("variable", "wrong"),
    [
        ("POOL_SIZE", "many"),
        ("POOL_SIZE", "0"),
        ("ENVIRONMENT", "live"),
        ("DEBUG", "perhaps"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("GRPC_MAX_MESSAGE_BYTES", "1"),
        ("SHUTDOWN_GRACE_SECONDS", "-1"),
        ("MAX_CONNECTION_AGE_SECONDS", "0"),
    ],
)
def test_a_wrong_value_is_refused_under_the_name_of_its_variable(
    variable: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, wrong)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [".".join(map(str, error["loc"])).upper() for error in caught.value.errors()] == [variable]


@pytest.mark.parametrize("way", ["environment", "file", "dot env"])
def test_a_wrong_secret_is_not_shown(way: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = f"!{SECRET}"
    (folder / "given").write_text(wrong)
    if way == "environment":
        monkeypatch.setenv("TOKEN", wrong)
    elif way == "file":
        monkeypatch.setenv("TOKEN_FILE", "given")
    else:
        (folder / ".env").write_text(f"TOKEN={wrong}\n")
    with pytest.raises(ValidationError, match="exclamation mark") as caught:
        Settings()
    assert "token" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_wrong_combination_does_not_show_the_secrets_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENVIRONMENT": "production", "DEBUG": "1", "TOKEN": SECRET}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match="DEBUG is not for production") as caught:
        Settings()
    assert SECRET not in str(caught.value)


def test_a_secret_is_not_shown_by_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    settings = Settings()
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_every_knob_is_described() -> None:
    assert [name for name, field in ServiceSettings.model_fields.items() if not field.description] == []
