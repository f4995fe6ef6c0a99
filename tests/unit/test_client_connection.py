"""Where a client connects to, and with what."""

from pathlib import Path

import pytest

from trimem.client.connection import DEFAULT_URL, connection


@pytest.mark.parametrize(
    ("url", "target", "tls"),
    [
        (None, DEFAULT_URL, False),
        ("memory:50050", "memory:50050", False),
        ("http://memory:50050", "memory:50050", False),
        ("grpc://memory:50050/", "memory:50050", False),
        ("https://memory.example", "memory.example", True),
        ("grpcs://[::1]:50050", "[::1]:50050", True),
        ("dns:///memory:50050", "dns:///memory:50050", False),
        ("unix:/run/trimem.sock", "unix:/run/trimem.sock", False),
    ],
)
def test_a_url_is_an_address_with_or_without_tls(url: str | None, target: str, tls: bool) -> None:
    for to in (connection(url, environ={}), connection(environ={"TRIMEM_URL": url or ""})):
        assert to.target == target
        assert (to.credentials is not None) is tls


@pytest.mark.parametrize("url", ["https://", "https://host/path", "http:///"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a gateway"):
        connection(url, environ={})


@pytest.mark.parametrize(
    ("environ", "tls"),
    [
        ({"TRIMEM_TLS": "1"}, True),
        ({"TRIMEM_TLS": "true"}, True),
        ({"TRIMEM_TLS": "off"}, False),
        ({"TRIMEM_URL": "https://memory", "TRIMEM_TLS": "no"}, False),
        ({"TRIMEM_URL": "http://memory", "TRIMEM_TLS": "yes"}, True),
    ],
)
def test_tls_is_switched_by_the_environment(environ: dict[str, str], tls: bool) -> None:
    assert (connection(environ=environ).credentials is not None) is tls
    assert connection(tls=True, environ=environ).credentials is not None
    assert connection(tls=False, environ=environ).credentials is None


def test_a_ca_file_means_tls(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert connection(ca_file=tmp_path / "ca.pem", environ={}).credentials is not None
    with pytest.raises(ValueError, match=r"TRIMEM_CA_FILE=.*nothing cannot be read: No such file"):
        connection(environ={"TRIMEM_CA_FILE": str(tmp_path / "nothing")})


def test_a_certificate_and_its_key_go_together() -> None:
    with pytest.raises(ValueError, match="go together"):
        connection(cert_file="cert.pem", environ={})


def test_nonsense_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="TRIMEM_TLS must be true or false"):
        connection(environ={"TRIMEM_TLS": "perhaps"})
    with pytest.raises(ValueError, match=r"TRIMEM_API_KEY_FILE=.*cannot be read"):
        connection(environ={"TRIMEM_API_KEY_FILE": str(tmp_path / "nothing")})


def test_an_api_key_comes_from_the_argument_the_variable_or_the_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("trimem_c_3\n")
    environ = {"TRIMEM_API_KEY_FILE": str(tmp_path / "key")}
    assert connection(environ={}).metadata == ()
    assert connection(environ=environ).metadata == (("authorization", "Bearer trimem_c_3"),)
    environ["TRIMEM_API_KEY"] = "trimem_b_2"
    assert connection(environ=environ).api_key == "trimem_b_2"
    assert connection(api_key="trimem_a_1", environ=environ).api_key == "trimem_a_1"


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "tab\t."])
def test_an_api_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="the API key has characters") as raised:
        connection(api_key=key, environ={})
    assert key not in str(raised.value)


def test_a_connection_does_not_show_its_key() -> None:
    assert "secret" not in repr(connection(api_key="secret", environ={}))
