"""The keys in force are those of the file, as it was when it last made sense."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.auth.key_file import KeyFileError, changing
from gateway.auth.keyring import LOOK_SECONDS, Finding, Flaw, Keyring
from gateway.auth.keys import ApiKey, create_key
from gateway.auth.scopes import Scope

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Place:
    """A file of keys, a keyring on it, and a clock that a test moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = 0.0
        self.token = self.add("laptop")[1]
        self.keyring = Keyring(path, clock=lambda: self.seconds, now=lambda: NOW + timedelta(seconds=self.seconds))

    def add(self, name: str, **values: Any) -> tuple[ApiKey, str]:
        key, token = create_key(name, frozenset({Scope.READ}), now=NOW, **values)
        with changing(self.path) as change:
            change.keys = (*change.keys, key)
        return key, token

    def revoke(self, name: str) -> None:
        with changing(self.path) as change:
            change.keys = tuple(key.revoke(NOW) if key.name == name else key for key in change.keys)

    def find(self, token: str | None) -> Finding:
        return self.keyring.find(token)

    def later(self, token: str | None) -> Finding:
        """The same when the file has to be looked at again."""
        self.seconds += LOOK_SECONDS
        return self.find(token)


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        yield Place(Path(folder) / "keys.json")


def test_a_token_finds_its_key(place: Place) -> None:
    finding = place.find(place.token)

    assert finding.flaw is None
    assert finding.key is not None
    assert finding.key.name == "laptop"


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (lambda _token: None, Flaw.MISSING),
        (lambda _token: "", Flaw.MALFORMED),
        (lambda token: token + "0", Flaw.MALFORMED),
        (lambda token: token.upper(), Flaw.MALFORMED),
        (lambda token: "trimem_" + "0" * 12 + token[19:], Flaw.UNKNOWN),
        (lambda token: token[:20] + "0" * 64, Flaw.WRONG_SECRET),
    ],
)
def test_what_is_not_the_token_finds_no_key(place: Place, change: Any, flaw: Flaw) -> None:
    finding = place.find(change(place.token))

    assert (finding.key, finding.flaw) == (None, flaw)


def test_unknown_ids_are_compared_too_so_that_they_take_as_long(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def matches(key: ApiKey, _secret: str) -> bool:
        compared.append(key.name)
        return False

    monkeypatch.setattr(ApiKey, "matches", matches)
    place.find(place.token)
    place.find("trimem_" + "0" * 12 + place.token[19:])

    assert compared == ["laptop", "nobody"]


def test_a_new_key_works_and_a_revoked_one_stops_within_a_second(place: Place) -> None:
    _, token = place.add("ci")
    assert place.find(token).flaw is Flaw.UNKNOWN  # it was looked at just now
    assert place.later(token).flaw is None

    place.revoke("ci")
    assert place.later(token).flaw is Flaw.REVOKED
    assert place.later(place.token).flaw is None


def test_a_key_ends_when_it_expires_without_a_change_of_the_file(place: Place) -> None:
    _, token = place.add("ci", expires=NOW + timedelta(seconds=10))
    assert place.later(token).flaw is None

    place.seconds = 10
    assert place.find(token).flaw is Flaw.EXPIRED


def test_what_was_found_before_is_checked_again(place: Place) -> None:
    key, _ = place.add("ci")
    place.later(None)
    assert place.keyring.find_again(key).flaw is None

    place.revoke("ci")
    place.seconds += LOOK_SECONDS
    assert place.keyring.find_again(key).flaw is Flaw.REVOKED

    place.path.write_text('{"version": 1, "keys": []}')
    place.seconds += LOOK_SECONDS
    assert place.keyring.find_again(key).flaw is Flaw.UNKNOWN


@pytest.mark.parametrize("broken", ["", '{"version": 1, "ke', '{"version": 7, "keys": []}', None])
def test_while_the_file_is_broken_the_keys_stay_in_force_and_the_log_says_so_once(
    place: Place, broken: str | None
) -> None:
    good = place.path.read_text()
    if broken is None:
        place.path.unlink()
    else:
        place.path.write_text(broken)
    with capture_logs() as lines:
        assert place.later(place.token).flaw is None
        assert place.later(place.token).flaw is None
    assert [line["log_level"] for line in lines] == ["error"]

    _, token = create_key("ci", frozenset({Scope.READ}), now=NOW)
    place.path.write_text(good)
    place.revoke("laptop")
    assert place.later(place.token).flaw is Flaw.REVOKED
    assert place.later(token).flaw is Flaw.UNKNOWN


def test_a_file_written_piece_by_piece_counts_when_it_is_complete(place: Place) -> None:
    _, token = place.add("ci")
    whole = place.path.read_bytes()
    with place.path.open("wb") as file:
        for byte in whole[:-2]:
            file.write(bytes([byte]))
            file.flush()
            assert place.later(place.token).flaw is None
        file.write(whole[-2:])
    assert place.later(token).flaw is None


def test_a_change_within_one_tick_of_the_clock_of_the_file_system_is_seen(place: Place) -> None:
    """It has the same length, and the same time of change."""
    place.later(None)
    before = place.path.stat()
    text = place.path.read_text().replace('"read"', '"embed"').replace('"laptop"', '"lapto"')
    place.path.write_text(text)
    recent = int((NOW.timestamp() + place.seconds + LOOK_SECONDS) * 1e9)
    os.utime(place.path, ns=(recent, recent))
    assert place.path.stat().st_size == before.st_size
    place.later(None)

    place.path.write_text(text.replace("lapto", "lappy"))
    os.utime(place.path, ns=(recent, recent))
    found = place.later(place.token).key
    assert found is not None
    assert found.name == "lappy"


def test_the_file_is_looked_at_no_more_than_once_a_second(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    stat = Path.stat

    def counted(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        looks.append(path)
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", counted)
    for _ in range(100):
        place.seconds += LOOK_SECONDS / 50
        place.find(place.token)

    assert 1 <= len(looks) <= 3


def test_a_keyring_does_not_begin_with_a_file_that_is_broken_or_missing(place: Place) -> None:
    place.path.write_text("{")
    with pytest.raises(KeyFileError):
        Keyring(place.path)
    place.path.unlink()
    with pytest.raises(KeyFileError):
        Keyring(place.path)


def test_a_mounted_secret_that_is_exchanged_by_its_link_is_read_again(place: Place) -> None:
    """As Kubernetes does it: the file is a link through a folder that is a link, and that one is replaced."""
    folder = place.path.parent
    for version in ("one", "two"):
        (folder / version).mkdir()
    place.path.rename(folder / "one" / "keys.json")
    (folder / "data").symlink_to("one")
    place.path.symlink_to("data/keys.json")
    assert place.later(place.token).flaw is None

    (folder / "two" / "keys.json").write_text('{"version": 1, "keys": []}')
    (folder / "data.new").symlink_to("two")
    (folder / "data.new").rename(folder / "data")
    assert place.later(place.token).flaw is Flaw.UNKNOWN
