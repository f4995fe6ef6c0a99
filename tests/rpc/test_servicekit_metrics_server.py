"""The port that Prometheus reads, with TLS."""

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servicekit.metrics_server import metrics_exporter
from servicekit.telemetry import new_registry
from servicekit.tls import CertificateFiles, NamedFile
from tests.fixtures_tls import Authority, Pair, replace
from tests.rpc.servicekit_rig import PATIENCE


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "ours")


@contextmanager
def exporting(pair: Pair, clients: Authority | None = None) -> Iterator[int]:
    """The exporter with this certificate, for clients of that authority only. Yields the port."""
    files = CertificateFiles(
        NamedFile("TLS_CERT_FILE", pair.certificate),
        NamedFile("TLS_KEY_FILE", pair.key),
        None if clients is None else NamedFile("TLS_CLIENT_CA_FILE", clients.file),
    )
    with metrics_exporter(new_registry(), address="127.0.0.1", port=0, tls=files) as port:
        yield port


def scrape(port: int, authority: Authority, shown: Pair | None = None) -> str:
    """What Prometheus reads over a new connection."""
    context = ssl.create_default_context(cafile=authority.file)
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    with urllib.request.urlopen(f"https://127.0.0.1:{port}/metrics", timeout=PATIENCE, context=context) as response:
        return str(response.read(), "utf-8")


def test_metrics_go_over_tls(ours: Authority, capfd: pytest.CaptureFixture[str]) -> None:
    with exporting(ours.issue("server")) as port:
        assert "python_gc_objects_collected_total" in scrape(port, ours)
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE)
        assert "python_gc_objects_collected_total" in scrape(port, ours)
    assert "Traceback" not in capfd.readouterr().err


def test_with_mutual_tls_prometheus_must_show_a_certificate_of_ours(ours: Authority, tmp_path: Path) -> None:
    theirs = Authority.make(tmp_path, "theirs")
    with exporting(ours.issue("server"), ours) as port:
        assert scrape(port, ours, ours.issue("prometheus"))
        for shown in (None, theirs.issue("stranger")):
            with pytest.raises(OSError):
                scrape(port, ours, shown)


def test_a_renewed_certificate_and_other_authorities_count_at_once(ours: Authority, tmp_path: Path) -> None:
    theirs = Authority.make(tmp_path, "theirs")
    believed = Authority(ours.ca, tmp_path / "believed.pem")
    replace(believed.file, ours.file.read_bytes())
    pair, client = ours.issue("server"), ours.issue("prometheus")
    with exporting(pair, believed) as port:
        assert scrape(port, ours, client)
        pair.renew(theirs.ca)
        assert scrape(port, theirs, client)
        replace(believed.file, theirs.file.read_bytes())
        with pytest.raises(OSError):
            scrape(port, theirs, client)
        assert scrape(port, theirs, theirs.issue("other"))


def test_a_client_that_says_nothing_keeps_nobody_waiting(ours: Authority) -> None:
    with exporting(ours.issue("server")) as port, socket.create_connection(("127.0.0.1", port)):
        assert scrape(port, ours)
