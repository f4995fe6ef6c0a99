"""What the options before the command say, and the client that comes of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from trimem.client import RetryPolicy, TrimemClient
from trimem.client.cli.failures import UsageProblem

#: For work of hours: some 40 seconds without the gateway, or a service behind it.
PATIENT = RetryPolicy(attempts=14)


@dataclass(slots=True)
class Session:
    """How to reach the gateway."""

    url: str | None = None
    tls: bool | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    api_key_file: Path | None = None
    timeout: float = 30.0
    #: For tests: used instead of a connection.
    channel: grpc.Channel | None = None

    def open(self, *, retry: RetryPolicy | None = None) -> TrimemClient:
        """A client, to be closed by the caller. Raises UsageProblem for what cannot be used."""
        try:
            return TrimemClient(
                self.url,
                api_key=None if self.api_key_file is None else self.api_key_file.read_text(),
                tls=self.tls,
                ca_file=self.ca_file,
                cert_file=self.cert_file,
                key_file=self.key_file,
                timeout=self.timeout,
                retry=retry,
                channel=self.channel,
            )
        except OSError as error:
            raise UsageProblem(f"--api-key-file {self.api_key_file} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise UsageProblem(str(error)) from None

    def open_for_long(self) -> TrimemClient:
        """The same for work of hours, which lives through restarts. Raises TrimemError soon when nobody is there."""
        with self.open() as client:
            client.health()
        return self.open(retry=PATIENT)


def connect(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="TRIMEM_URL",
            metavar="HOST:PORT",
            help="gRPC address of the gateway [default: 127.0.0.1:50050]; https:// before it is TLS",
        ),
    ] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", envvar="TRIMEM_TLS", help="use TLS, or not")] = None,
    ca_file: Annotated[Path | None, typer.Option(envvar="TRIMEM_CA_FILE", help="who may have signed for it")] = None,
    cert_file: Annotated[Path | None, typer.Option(envvar="TRIMEM_CERT_FILE", help="certificate to show")] = None,
    key_file: Annotated[Path | None, typer.Option(envvar="TRIMEM_KEY_FILE", help="key of the certificate")] = None,
    api_key_file: Annotated[
        Path | None,
        # The key itself is no option: command lines are seen by everybody on the machine.
        typer.Option(help="file with the API key [default: TRIMEM_API_KEY, or TRIMEM_API_KEY_FILE]"),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="seconds that a call may take, with retries")] = 30.0,
) -> None:
    """Remember events and code, and find them again.

    \b
    Exit status:
      0    it is done
      1    it failed, or some of many did
      2    the command line is wrong
      3    there is no such event, chunk, repository or name
      4    the gateway, or something behind it, cannot be reached: try again later
      130  interrupted by Ctrl-C
      141  who read the output left
    """
    session = context.ensure_object(Session)
    session.url, session.tls, session.timeout = url, tls, timeout
    session.ca_file, session.cert_file, session.key_file = ca_file, cert_file, key_file
    session.api_key_file = api_key_file


def session_of(context: typer.Context) -> Session:
    """The session of the running command."""
    found: Any = context.find_object(Session)
    assert isinstance(found, Session)  # noqa: S101 - `connect` runs before every command
    return found
