"""The port that Prometheus reads."""

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6, socket
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from servicekit.server import PortTakenError
from servicekit.tls import CertificateFiles, server_context


@contextmanager
def metrics_exporter(
    registry: CollectorRegistry, *, address: str, port: int, tls: CertificateFiles | None = None
) -> Iterator[int]:
    """Serve the registry at `http://address:port/metrics` from a thread, with `tls` at `https://…`.

    Yields the port (0 asks for any). Raises PortTakenError, CertificateError.
    """
    log = structlog.get_logger("metrics")
    context = None if tls is None else server_context(tls)
    try:
        server = make_server(address, port, make_wsgi_app(registry), _server_class(address, context), _Handler)
    except OSError as error:
        raise PortTakenError.at(address, port) from error
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    log.info("exporting", address=f"{address}:{server.server_port}", tls=context is not None)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(WSGIRequestHandler):
    """Answers one scrape without a word in the log."""

    #: Seconds without a byte, after which the thread of a client that says nothing ends. Handshakes included.
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is the library's
        """Nothing: scrapes come every few seconds."""


def _server_class(address: str, context: ssl.SSLContext | None) -> type[WSGIServer]:
    """A server for one address.

    prometheus_client has one too, but reads certificates once, and shakes hands in the thread that accepts: a client
    that says nothing would keep all others waiting.
    """

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True
        address_family = AF_INET6 if ":" in address else AF_INET

        def get_request(self) -> tuple[socket, Any]:
            connection, peer = super().get_request()
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            return connection, peer

        def handle_error(self, _request: object, client_address: Any) -> None:
            """Somebody who speaks no TLS, shows no certificate, or has gone: not for standard error."""
            structlog.get_logger("metrics").debug(
                "scrape failed", peer=str(client_address[0]), error=type(sys.exception()).__name__
            )

    return Server
