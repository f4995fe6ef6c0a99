"""Certificates of listeners and channels: read, checked, and read again when their files change.

Whoever needs them asks `Watched` each time, which compares the files' marks. That is cheap, needs nobody to watch, and
sees whatever replaces files: renaming, the symbolic links of Kubernetes, writing in place.
"""

import ssl
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc
import structlog

#: What changes with a file: modification time, size and inode; None for a file that is not there.
Mark: TypeAlias = tuple[int, int, int] | None


class CertificateError(ValueError):
    """Files that cannot be used. The message names the variable and nothing of what they contain."""


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file, and the variable that names it."""

    variable: str
    path: Path

    def mark(self) -> Mark:
        """Changes when the file does."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def read(self) -> bytes:
        """The contents. Raises CertificateError."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise CertificateError(f"{self.variable}: cannot read {self.path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Certificates:
    """What one side shows and whom it believes, in PEM."""

    certificate: bytes | None
    key: bytes | None = field(repr=False)
    authorities: bytes | None
    #: The same for a server that speaks TLS by Python's own module.
    server_context: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The files of one side: its certificate with the key, and the authorities that the other side's must come from."""

    certificate: NamedFile | None = None
    key: NamedFile | None = None
    authorities: NamedFile | None = None

    def marks(self) -> tuple[Mark, ...]:
        """Change when any of the files does."""
        return tuple(file.mark() for file in self._given())

    def load(self) -> Certificates:
        """Read the files and see that they belong together. Raises CertificateError."""
        before = self.marks()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # A session that is resumed would bring a client's certificate back that is no longer believed.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        certificate, key, authorities = (
            None if file is None else file.read() for file in (self.certificate, self.key, self.authorities)
        )
        if self.certificate is not None and self.key is not None:
            _load_pair(context, self.certificate, self.key)
        if self.authorities is not None and authorities is not None:
            _load_authorities(context, self.authorities, authorities)
        if self.marks() != before:
            raise CertificateError(f"{self}: changed while they were read")
        return Certificates(certificate, key, authorities, context)

    def open_to_all(self) -> bool:
        """Whether every user of the machine may read the key."""
        try:
            return self.key is not None and bool(self.key.path.stat().st_mode & stat.S_IROTH)
        except OSError:
            return False

    def __str__(self) -> str:
        return ", ".join(f"{file.variable}={file.path}" for file in self._given())

    def _given(self) -> Iterator[NamedFile]:
        return (file for file in (self.certificate, self.key, self.authorities) if file is not None)


class Watched:
    """The certificates of files, as new as the files are. Files that cannot be used change nothing but the log.

    Threads may share it: handshakes of gRPC are in threads of its own.
    """

    def __init__(self, files: CertificateFiles) -> None:
        """Raises CertificateError."""
        self._files = files
        self._lock = threading.Lock()
        self._log = structlog.get_logger("tls")
        self._marks = files.marks()
        self._current = files.load()
        #: Marks of files that could not be used, so that this is said once.
        self._refused: tuple[Mark, ...] | None = None
        if files.open_to_all():
            self._log.warning("all users of this machine may read the private key", files=str(files))

    def current(self) -> Certificates:
        """Those of the files as they are now; the same object as long as they do not change."""
        with self._lock:
            marks = self._files.marks()
            if marks not in (self._marks, self._refused):
                self._renew(marks)
            return self._current

    def _renew(self, marks: tuple[Mark, ...]) -> None:
        try:
            self._current = self._files.load()
        except CertificateError as error:
            # Half of a new pair, as a rule: the other half follows, and changes the marks again.
            self._refused = marks
            self._log.error("certificates not renewed", problem=str(error))
        else:
            self._marks, self._refused = marks, None
            self._log.info("certificates renewed", files=str(self._files))


def server_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """What a gRPC server shows, asked for at every handshake. Clients need a certificate when there are authorities."""
    watched = Watched(files)
    shown = watched.current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        current = watched.current()
        if current is shown:
            return None  # gRPC keeps what it has
        shown = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown),
        renewed,  # type: ignore[arg-type]  # gRPC takes None for "no change", which its types do not know
        require_client_authentication=files.authorities is not None,
    )


def server_context(files: CertificateFiles) -> ssl.SSLContext:
    """The same for a server that speaks TLS by Python's own module."""
    watched = Watched(files)

    def renew(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        # OpenSSL calls this early in every handshake, with or without a name. To load files into the context of
        # connections in progress would leave it without a key whenever one of the two files is of no use.
        connection.context = watched.current().server_context

    context = watched.current().server_context
    context.sni_callback = renew
    return context


def channel_credentials(certificates: Certificates) -> grpc.ChannelCredentials:
    """What a client shows and whom it believes: without authorities of ours, those that gRPC knows."""
    return grpc.ssl_channel_credentials(certificates.authorities, certificates.key, certificates.certificate)


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.certificate)],  # type: ignore[list-item]  # a server has both: see settings
        root_certificates=certificates.authorities,
    )


def _load_pair(context: ssl.SSLContext, certificate: NamedFile, key: NamedFile) -> None:
    try:
        # A password for keys that have one: without it OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate.path, key.path, password=lambda: "")
    except (OSError, ValueError) as error:  # also ssl.SSLError
        raise CertificateError(
            f"{certificate.variable}, {key.variable}: {certificate.path} and {key.path} are not a certificate and its "
            f"key, in PEM and without a password ({_reason(error)})"
        ) from None


def _load_authorities(context: ssl.SSLContext, file: NamedFile, authorities: bytes) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
    except (OSError, ValueError) as error:
        raise CertificateError(f"{file.variable}: {file.path} has no certificates in PEM ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return (isinstance(error, ssl.SSLError) and error.reason) or str(error)
