"""`trimem keys`: what it prints where, what it refuses, and that the gateway takes what it writes."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.auth.key_file import read_keys
from gateway.auth.keyring import Flaw, Keyring
from gateway.auth.scopes import Scope
from trimem.client.cli.app import run


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


Keys = Callable[..., Ended]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def keys(path: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    """Runs `trimem keys … --file PATH`."""

    def execute(*arguments: str) -> Ended:
        status = run(["keys", *arguments, "--file", str(path)])
        printed = capsys.readouterr()
        return Ended(status, printed.out, printed.err)

    return execute


def test_a_new_key_is_printed_once_and_works(keys: Keys, path: Path) -> None:
    ended = keys("create", "laptop", "--scope", "read", "--scope", "write")
    token = ended.out.strip()
    found = Keyring(path).find(token)

    assert ended.status == 0
    assert ended.out == f"{token}\n"  # nothing else, so that it can go into a file or a variable
    assert found.key is not None
    assert (found.flaw, found.key.name, found.key.scopes) == (None, "laptop", frozenset({Scope.READ, Scope.WRITE}))
    assert ended.err == f"key {found.key.id} (laptop): read, write; valid until it is revoked\n"
    assert token.split("_")[2] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_revoked_key_does_not_work_and_its_name_is_free(keys: Keys, path: Path) -> None:
    token = keys("create", "laptop", "--scope", "read").out.strip()
    (key,) = read_keys(path)

    assert keys("revoke", "laptop") == Ended(0, f"key {key.id} (laptop): revoked\n", "")
    assert Keyring(path).find(token).flaw is Flaw.REVOKED
    assert keys("create", "laptop", "--scope", "read").status == 0
    assert keys("revoke", key.id).out == f"key {key.id} (laptop): revoked before\n"  # and not the new one
    assert [key.revoked is None for key in read_keys(path)] == [False, True]


def test_two_live_keys_cannot_have_the_same_name(keys: Keys, path: Path) -> None:
    keys("create", "laptop", "--scope", "read")
    ended = keys("create", "laptop", "--scope", "write")

    assert (ended.status, ended.out) == (1, "")
    assert "there is a key named laptop already" in ended.err
    assert len(read_keys(path)) == 1


def test_keys_are_listed_for_people_and_for_scripts_without_what_is_secret(keys: Keys, path: Path) -> None:
    keys("create", "laptop", "--scope", "read", "--expires", "2999-01-31")
    keys("create", "ci", "--scope", "embed", "--scope", "write")
    keys("revoke", "ci")
    table, document = keys("list"), keys("list", "--json")
    first, second = json.loads(document.out)

    assert (first["name"], first["state"], first["expires"]) == ("laptop", "live", "2999-01-31T00:00:00Z")
    assert (second["name"], second["state"], second["scopes"]) == ("ci", "revoked", ["embed", "write"])
    lines = [line.split() for line in table.out.splitlines()]
    assert lines[0] == ["ID", "STATE", "CREATED", "EXPIRES", "NAME", "SCOPES"]
    assert lines[1][1:2] + lines[1][3:] == ["live", "2999-01-31T00:00:00Z", "laptop", "read"]
    assert lines[2][1:2] + lines[2][3:] == ["revoked", "never", "ci", "embed", "write"]
    for key in read_keys(path):
        assert key.digest.hex() not in table.out + document.out
        assert key.salt.hex() not in table.out + document.out


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("90d", 90 * 24), ("4w", 4 * 7 * 24)])
def test_a_key_may_end_so_long_from_now(keys: Keys, path: Path, text: str, hours: int) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    assert keys("create", "laptop", "--scope", "read", "--expires", text).status == 0
    (key,) = read_keys(path)

    assert key.expires is not None
    assert timedelta(0) <= key.expires - timedelta(hours=hours) - before <= timedelta(minutes=5)


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (("create", "two words", "--scope", "read"), 2, "NAME must be"),
        (("create", "0123456789ab", "--scope", "read"), 2, "NAME must be"),
        (("create", "laptop"), 2, "--scope"),
        (("create", "laptop", "--scope", "admin"), 2, "'admin' is not one of"),
        (("create", "laptop", "--scope", "read", "--expires", "2020-01-01"), 2, "2020-01-01T00:00:00Z is over"),
        (("create", "laptop", "--scope", "read", "--expires", "soon"), 2, "is not a date or time"),
        (("create", "laptop", "--scope", "read", "--expires", "99999w"), 0, ""),
        (("revoke", "laptop"), 3, "there is no live key laptop"),
        (("list",), 1, "No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    keys: Keys, arguments: tuple[str, ...], status: int, problem: str
) -> None:
    ended = keys(*arguments)

    assert ended.status == status
    assert problem in ended.err
    assert len(ended.err.splitlines()) == 1
    if status:
        assert ended.out == ""


def test_a_broken_file_is_left_alone(keys: Keys, path: Path) -> None:
    path.write_text("precious")
    for arguments in (("list",), ("create", "laptop", "--scope", "read"), ("revoke", "laptop")):
        ended = keys(*arguments)
        assert (ended.status, ended.err) == (1, f"trimem: {path}: is not JSON\n")
    assert path.read_text() == "precious"


def test_the_file_may_be_named_by_the_variable_of_the_gateway(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_KEYS_FILE", str(path))
    assert run(["keys", "create", "laptop", "--scope", "read"]) == 0
    assert len(read_keys(path)) == 1

    monkeypatch.delenv("API_KEYS_FILE")
    assert run(["keys", "list"]) == 2
    assert "--file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["create", "list", "revoke"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", command, "--help"]) == 0
    assert f"Examples: trimem keys {command}" in " ".join(capsys.readouterr().out.split())


def test_keys_are_made_where_there_is_no_gateway_to_run() -> None:
    """The command line has an extra of its own, without what the gateway is made of."""
    program = (
        "import sys, trimem.client.cli.keys; loaded = {name.split('.')[0] for name in sys.modules}; "
        "print(*{'aiohttp', 'pydantic', 'prometheus_client', 'structlog'} & loaded)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == ""
