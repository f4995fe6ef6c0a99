"""Files with certificates: what is refused, what is read again, and what of that is said."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from servicekit.settings import ServiceSettings
from servicekit.tls import CertificateError, CertificateFiles, NamedFile, Watched
from tests.fixtures_tls import Authority, Pair, replace
from tests.rpc.servicekit_rig import logging_configured


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "ours")


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


def files_of(pair: Pair, authority: Authority | None = None) -> CertificateFiles:
    return CertificateFiles(
        NamedFile("TLS_CERT_FILE", pair.certificate),
        NamedFile("TLS_KEY_FILE", pair.key),
        None if authority is None else NamedFile("TLS_CLIENT_CA_FILE", authority.file),
    )


def problem(**values: object) -> str:
    """What is said about settings that are refused."""
    with pytest.raises(ValidationError) as caught:
        ServiceSettings(_env_file=None, **values)  # type: ignore[arg-type]  # whatever the test gives
    return str(caught.value.errors()[0]["msg"])


def test_without_settings_there_is_no_tls() -> None:
    settings = ServiceSettings(_env_file=None)
    assert (settings.listener_files(), settings.channel_files()) == (None, None)


def test_good_files_are_taken(authority: Authority, pair: Pair) -> None:
    settings = ServiceSettings(
        _env_file=None,
        tls_cert_file=pair.certificate,
        tls_key_file=pair.key,
        tls_client_ca_file=authority.file,
        channel_tls=True,
        channel_ca_file=authority.file,
        channel_cert_file=pair.certificate,
        channel_key_file=pair.key,
    )
    assert settings.listener_files() == files_of(pair, authority)
    assert settings.channel_files() is not None


def test_a_channel_with_tls_may_believe_whom_grpc_believes() -> None:
    assert ServiceSettings(_env_file=None, channel_tls=True).channel_files() == CertificateFiles()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("tls_cert_file",), "TLS_CERT_FILE is of no use without TLS_KEY_FILE"),
        (("tls_key_file",), "TLS_KEY_FILE is of no use without TLS_CERT_FILE"),
        (("tls_client_ca_file",), "TLS_CLIENT_CA_FILE is of no use without"),
        (("channel_cert_file", "channel_tls"), "CHANNEL_CERT_FILE is of no use without CHANNEL_KEY_FILE"),
        (("channel_key_file", "channel_tls"), "CHANNEL_KEY_FILE is of no use without CHANNEL_CERT_FILE"),
        (("channel_ca_file",), "CHANNEL_CA_FILE="),
    ],
)
def test_settings_that_contradict_each_other_are_named(given: tuple[str, ...], named: str, pair: Pair) -> None:
    values = {name: True if name == "channel_tls" else pair.certificate for name in given}
    assert named in problem(**values)


def test_a_file_that_is_missing_is_named(pair: Pair, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.pem"
    assert f"TLS_KEY_FILE: cannot read {nowhere}: No such file" in problem(
        tls_cert_file=pair.certificate, tls_key_file=nowhere
    )
    assert "CHANNEL_CA_FILE: cannot read" in problem(channel_tls=True, channel_ca_file=nowhere)


def test_the_key_of_another_certificate_is_refused(authority: Authority, pair: Pair) -> None:
    other = authority.issue("other")
    said = problem(tls_cert_file=pair.certificate, tls_key_file=other.key)
    assert "TLS_CERT_FILE, TLS_KEY_FILE" in said
    assert "KEY_VALUES_MISMATCH" in said


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(pair: Pair) -> None:
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    replace(pair.key, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    assert "without a password" in problem(tls_cert_file=pair.certificate, tls_key_file=pair.key)


@pytest.mark.parametrize("contents", [b"", b"nonsense", b"\xff\xfe\x00", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_authorities_without_a_certificate_are_refused(contents: bytes, authority: Authority) -> None:
    replace(authority.file, contents)
    assert "CHANNEL_CA_FILE" in problem(channel_tls=True, channel_ca_file=authority.file)


def test_files_that_do_not_change_are_read_once(pair: Pair) -> None:
    watched = Watched(files_of(pair))
    assert watched.current() is watched.current()


def test_a_new_pair_is_taken_when_it_is_whole_and_half_of_it_is_said_once(authority: Authority, pair: Pair) -> None:
    other = authority.issue("other")
    with logging_configured() as logged:
        watched = Watched(files_of(pair))
        first = watched.current()

        replace(pair.certificate, other.certificate.read_bytes())
        assert watched.current() is first
        assert watched.current() is first
        (line,) = logged.lines
        assert (line["level"], line["event"]) == ("error", "certificates not renewed")
        assert "KEY_VALUES_MISMATCH" in line["problem"]

        replace(pair.key, other.key.read_bytes())
        second = watched.current()

    assert second.certificate == other.certificate.read_bytes()
    assert logged.lines[-1]["event"] == "certificates renewed"
    assert "PRIVATE KEY" not in logged.text


def test_files_that_vanish_for_a_while_change_nothing(authority: Authority, pair: Pair) -> None:
    watched = Watched(files_of(pair, authority))
    first = watched.current()
    key = pair.key.read_bytes()

    pair.key.unlink()
    assert watched.current() is first
    replace(pair.key, key)
    assert watched.current().key == key


def test_links_that_lead_elsewhere_are_followed(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """Kubernetes renews a mounted secret by exchanging one symbolic link to a folder."""
    other = authority.issue("other")
    for number, source in enumerate((pair, other)):
        folder = tmp_path / f"version-{number}"
        folder.mkdir()
        (folder / "tls.crt").write_bytes(source.certificate.read_bytes())
        (folder / "tls.key").write_bytes(source.key.read_bytes())
    (tmp_path / "data").symlink_to(tmp_path / "version-0")
    watched = Watched(files_of(Pair(tmp_path / "data" / "tls.crt", tmp_path / "data" / "tls.key")))
    assert watched.current().certificate == pair.certificate.read_bytes()

    (tmp_path / "next").symlink_to(tmp_path / "version-1")
    (tmp_path / "next").rename(tmp_path / "data")
    assert watched.current().certificate == other.certificate.read_bytes()


def test_a_change_in_the_middle_of_reading_is_noticed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    read = NamedFile.read

    def read_and_touch(file: NamedFile) -> bytes:
        contents = read(file)
        replace(file.path, contents)
        return contents

    monkeypatch.setattr(NamedFile, "read", read_and_touch)
    with pytest.raises(CertificateError, match="changed while they were read"):
        files_of(pair).load()


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_key_that_all_may_read_is_warned_about(mode: int, warned: bool, pair: Pair) -> None:
    pair.key.chmod(mode)
    with logging_configured() as logged:
        Watched(files_of(pair))
    assert [line["level"] for line in logged.lines] == (["warning"] if warned else [])
