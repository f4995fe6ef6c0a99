"""Certificates for tests, in files that are replaced like those of operators."""

import os
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path

    def renew(self, ca: trustme.CA, *names: str) -> bytes:
        """Put another certificate of `ca` in place, for these names, file by file. Returns it in PEM."""
        issued = ca.issue_cert(*(names or ("127.0.0.1", "localhost")))
        chain = issued.cert_chain_pems[0].bytes()
        replace(self.certificate, chain)
        replace(self.key, issued.private_key_pem.bytes())
        return chain


@dataclass(frozen=True)
class Authority:
    """A CA and its file."""

    ca: trustme.CA
    file: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> "Authority":
        """A new one, with a file in the folder."""
        ca, file = trustme.CA(organization_name=name), folder / f"{name}.pem"
        replace(file, ca.cert_pem.bytes())
        return cls(ca, file)

    def issue(self, name: str, *hosts: str) -> Pair:
        """A certificate for these hosts, in files beside the CA's; by default for those that tests listen on."""
        pair = Pair(self.file.parent / f"{name}.crt", self.file.parent / f"{name}.key")
        pair.renew(self.ca, *hosts)
        return pair


def replace(path: Path, contents: bytes) -> None:
    """The file with other contents, at once, readable by us alone."""
    new = path.with_suffix(".new")
    new.touch(0o600)
    new.write_bytes(contents)
    os.replace(new, path)  # noqa: PTH105 - as operators do it, and pathlib says it no better
