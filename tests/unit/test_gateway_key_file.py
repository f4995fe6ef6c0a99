"""The file of keys: written as a whole, for its owner alone, by one writer at a time, and read strictly."""

import json
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.key_file import KeyFileError, changing, parse_keys, read_keys
from gateway.auth.keys import ApiKey, create_key
from gateway.auth.scopes import Scope

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOMEWHERE = Path("keys.json")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def add(path: Path, name: str = "laptop", **values: Any) -> ApiKey:
    key, _ = create_key(name, frozenset({Scope.READ, Scope.WRITE}), now=NOW, **values)
    with changing(path) as change:
        change.keys = (*change.keys, key)
    return key


def test_what_is_written_is_read(path: Path) -> None:
    first = add(path, expires=NOW + timedelta(days=1))
    second = add(path, "ci")
    with changing(path) as change:
        change.keys = (first.revoke(NOW), second)

    assert read_keys(path) == (first.revoke(NOW), second)


def test_only_its_owner_may_read_a_new_one(path: Path) -> None:
    add(path)

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o400])
def test_who_could_read_it_still_can(path: Path, mode: int) -> None:
    add(path)
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, 12345, 23456)
    before = path.stat()
    add(path, "ci")

    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_its_owner_is_not_locked_out_by_root(path: Path) -> None:
    add(path)
    os.chown(path, 12345, 23456)
    add(path, "ci")

    lock = path.with_name(".keys.json.lock").stat()
    assert (lock.st_uid, lock.st_gid, lock.st_mode & 0o777) == (12345, 23456, 0o600)


def test_one_who_would_take_it_from_its_owner_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the folder may be written by a group."""

    def refuse(_descriptor: int, _owner: int, _group: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    key = add(path)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(KeyFileError, match="only its owner or root may change it"):
        add(path, "ci")

    assert read_keys(path) == (key,)
    assert {file.name for file in path.parent.iterdir()} == {"keys.json", ".keys.json.lock"}


def test_an_error_on_the_way_leaves_it_as_it_was(path: Path) -> None:
    key = add(path)

    def fail() -> None:
        with changing(path) as change:
            change.keys = ()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert read_keys(path) == (key,)
    assert {file.name for file in path.parent.iterdir()} == {"keys.json", ".keys.json.lock"}


def test_what_is_no_key_file_is_not_overwritten(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(KeyFileError, match="is not JSON"):
        add(path)

    assert path.read_text() == "precious"


def test_a_link_stays_a_link(path: Path) -> None:
    path.symlink_to(path.with_name("real.json"))
    key = add(path)

    assert path.is_symlink()
    assert read_keys(path.with_name("real.json")) == (key,)


def test_no_key_is_lost_when_many_write(path: Path) -> None:
    writers = [threading.Thread(target=add, args=(path, f"key-{number}")) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert {key.name for key in read_keys(path)} == {f"key-{number}" for number in range(8)}


def test_without_a_file_there_is_nothing_to_read(path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"keys\.json: No such file or directory"):
        read_keys(path)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file or directory"):
        add(tmp_path / "nowhere" / "keys.json")


def test_a_folder_and_a_pipe_are_no_files(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path)
    for other in (path, tmp_path):
        with pytest.raises(KeyFileError):
            read_keys(other)


def test_what_is_far_too_large_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)  # it has no such size on the disk
    with pytest.raises(KeyFileError, match="larger than"):
        read_keys(path)


def entry(**changes: Any) -> bytes:
    good = {
        "id": "0123456789ab",
        "name": "laptop",
        "scopes": ["read"],
        "salt": "00" * 16,
        "digest": "11" * 32,
        "created": "2026-11-21T12:00:00Z",
    }
    tree = {name: value for name, value in {**good, **changes}.items() if value != "absent"}
    return json.dumps({"version": 1, "keys": [tree]}).encode()


def test_a_good_entry_is_read() -> None:
    (key,) = parse_keys(entry(expires="2026-11-22T13:00:00+01:00", revoked=None), SOMEWHERE)

    assert (key.id, key.name, key.scopes) == ("0123456789ab", "laptop", frozenset({Scope.READ}))
    assert (key.created, key.expires, key.revoked) == (NOW, NOW + timedelta(days=1), None)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "must be an object with version and keys"),
        (b'{"version": 1}', "must be an object with version and keys"),
        (b'{"version": 1, "keys": {}}', "must be an object with version and keys"),
        (b'{"version": 1, "keys": [], "more": 1}', "must be an object with version and keys"),
        (b'{"version": 2, "keys": []}', "is not of version 1"),
        (b'{"version": 1, "keys": [1]}', r"keys\[0\]: must be an object"),
        (entry(name="absent"), r"keys\[0\]: name is missing"),
        (entry(only_from="10.0.0.0/8"), "a field that this version does not know"),
        (entry(id="x"), "id is not valid"),
        (entry(id=5), "id is not valid"),
        (entry(name="two words"), "name is not valid"),
        (entry(scopes=[]), "scopes must be a list that is not empty"),
        (entry(scopes="read"), "scopes must be a list that is not empty"),
        (entry(scopes=["read", "admin"]), "scopes is not valid"),
        (entry(scopes=[["read"]]), "scopes is not valid"),
        (entry(salt="00"), "salt is not valid"),
        (entry(digest="hunter2"), "digest is not valid"),
        (entry(created="yesterday"), "created is not valid"),
        (entry(expires="2026-11-22T12:00:00"), "expires is not valid"),  # whose noon?
        (entry(revoked=True), "revoked is not valid"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_named_and_never_quoted(raw: bytes, problem: str) -> None:
    with pytest.raises(KeyFileError, match=problem) as raised:
        parse_keys(raw, SOMEWHERE)

    assert "hunter2" not in raised.value.message


def test_two_keys_cannot_have_the_same_id() -> None:
    tree = json.loads(entry())
    tree["keys"] *= 2
    with pytest.raises(KeyFileError, match="same id"):
        parse_keys(json.dumps(tree).encode(), SOMEWHERE)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["0123456789ab", "read"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["id", "name", "scopes", "salt", "digest", "created", "expires"]), _JSON))
def test_whatever_an_entry_holds_it_is_a_key_or_an_error(changes: dict[str, Any]) -> None:
    with suppress(KeyFileError):
        parse_keys(entry(**changes), SOMEWHERE)


@given(st.binary())
def test_whatever_the_file_holds_it_is_keys_or_an_error(raw: bytes) -> None:
    with pytest.raises(KeyFileError):
        parse_keys(raw, SOMEWHERE)
