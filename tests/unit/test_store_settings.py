"""Settings of the store."""

from typing import Any

import pytest
from pydantic import ValidationError

from store.settings import StoreSettings

URL = "postgresql://me:secret@host:5432/name"


def settings(**values: Any) -> StoreSettings:
    """Settings with a database, and nothing from the environment's files."""
    return StoreSettings(_env_file=None, **({"database_url": URL} | values))


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (URL, URL),
        ("postgresql+asyncpg://me:secret@host:5432/name", URL),
        ("postgres://host/name", "postgresql://host/name"),
        ("postgresql://me@/name?host=/run/postgresql", "postgresql://me@/name?host=/run/postgresql"),
        ("postgresql+asyncpg://host/name?ssl=require", "postgresql://host/name?sslmode=require"),
        ("postgresql://me:p%40ss%2F@host/name", "postgresql://me:p%40ss%2F@host/name"),
    ],
)
def test_urls_of_the_monolith_are_understood(given: str, plain: str) -> None:
    assert settings(database_url=given).database_url.get_secret_value() == plain


@pytest.mark.parametrize("url", ["mysql://me:secret@host/x", "host/name", "", "postgresql://me:sec/ret@host/x"])
def test_another_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(database_url=url)

    assert "me:sec" not in str(caught.value)
    assert "database_url" in str(caught.value)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(settings())


def test_a_database_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)

    with pytest.raises(ValidationError, match="database_url"):
        StoreSettings(_env_file=None)


def test_a_pool_has_room_for_its_least() -> None:
    with pytest.raises(ValidationError, match="DATABASE_POOL_MIN_SIZE"):
        settings(database_pool_min_size=5, database_pool_max_size=4)


def test_a_file_fits_into_a_message() -> None:
    with pytest.raises(ValidationError, match="GRPC_MAX_MESSAGE_BYTES"):
        settings(code_max_file_bytes=16 * 1024 * 1024)
    taken = settings(code_max_file_bytes=16 * 1024 * 1024, grpc_max_message_bytes=16 * 1024 * 1024 + 4096)
    assert taken.code_max_file_bytes == 16 * 1024 * 1024
    small = settings(grpc_max_message_bytes=64 * 1024)  # who asked for no large files may have small messages
    assert small.code_max_file_bytes > small.grpc_max_message_bytes


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in StoreSettings.model_fields.items() if not field.description] == []
