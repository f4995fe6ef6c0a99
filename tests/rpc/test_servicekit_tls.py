"""Who may speak with a server over TLS, and certificates that are renewed while it serves."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from servicekit import channel_layers
from servicekit.channels import open_channel
from servicekit.tls import CertificateFiles, NamedFile
from tests.fixtures_tls import Authority, Pair, replace
from tests.rpc.servicekit_rig import PATIENCE, Context, Running, ask, begin, kinds, serve

#: A channel repeats its handshake for so long before a call is given up; every refusal here comes at once.
BRIEFLY = 3


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "theirs")


@pytest.fixture
def pair(ours: Authority) -> Pair:
    """The server's."""
    return ours.issue("server")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels look for other certificates with every call."""
    monkeypatch.setattr(channel_layers, "LOOK_SECONDS", 0)


async def fine(_context: Context) -> str:
    return "fine"


def listener(pair: Pair, clients: Authority | None = None) -> dict[str, Any]:
    """Settings of a server with this certificate, and for clients of that authority only."""
    return {
        "tls_cert_file": pair.certificate,
        "tls_key_file": pair.key,
        "tls_client_ca_file": None if clients is None else clients.file,
    }


def files(believed: Authority, shown: Pair | None = None) -> CertificateFiles:
    """What a channel believes and shows."""
    return CertificateFiles(
        None if shown is None else NamedFile("CHANNEL_CERT_FILE", shown.certificate),
        None if shown is None else NamedFile("CHANNEL_KEY_FILE", shown.key),
        NamedFile("CHANNEL_CA_FILE", believed.file),
    )


@asynccontextmanager
async def channel_to(running: Running, tls: CertificateFiles | None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of ours to it."""
    async with open_channel(running.target, (), max_message_bytes=1_000_000, tls=tls) as channel:
        yield channel


async def answer(running: Running, tls: CertificateFiles | None) -> grpc.StatusCode:
    """How a call over a new connection ends."""
    async with channel_to(running, tls) as channel:
        return (await ask(channel, "UnaryUnary", timeout=BRIEFLY)).code


async def shown_by(port: int, protocol: str = "h2") -> bytes:
    """The certificate that a server shows to the next one who connects, in PEM."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    async with asyncio.timeout(PATIENCE):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return ssl.DER_cert_to_PEM_cert(shown).encode()
    finally:
        writer.transport.abort()


def lines(pem: bytes) -> list[bytes]:
    """PEM without its line ends, which differ between those who write it."""
    return pem.split()


@pytest.mark.parametrize("method", ["UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream"])
async def test_calls_of_all_kinds_go_over_tls(method: str, ours: Authority, pair: Pair) -> None:
    async with serve(kinds(fine), **listener(pair)) as running, channel_to(running, files(ours)) as channel:
        assert (await ask(channel, method)).messages[-1] == "fine"


async def test_who_does_not_fit_is_refused(ours: Authority, theirs: Authority, pair: Pair) -> None:
    async with serve(kinds(fine), **listener(pair)) as running:
        assert await answer(running, files(ours)) is grpc.StatusCode.OK
        assert await answer(running, None) is grpc.StatusCode.UNAVAILABLE
        assert await answer(running, files(theirs)) is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_for_another_name_is_refused(ours: Authority) -> None:
    async with serve(kinds(fine), **listener(ours.issue("server", "store.example"))) as running:
        assert await answer(running, files(ours)) is grpc.StatusCode.UNAVAILABLE


async def test_with_mutual_tls_clients_must_show_a_certificate_of_ours(
    ours: Authority, theirs: Authority, pair: Pair
) -> None:
    async with serve(kinds(fine), **listener(pair, ours)) as running:
        assert await answer(running, files(ours, ours.issue("client"))) is grpc.StatusCode.OK
        assert await answer(running, files(ours)) is grpc.StatusCode.UNAVAILABLE
        assert await answer(running, files(ours, theirs.issue("stranger"))) is grpc.StatusCode.UNAVAILABLE


async def test_versions_before_1_2_are_refused(ours: Authority, pair: Pair) -> None:
    context = ssl.create_default_context(cafile=ours.file)
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else our own side would not even ask
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with serve(kinds(fine), **listener(pair)) as running:
        with pytest.raises(OSError):  # gRPC closes the connection without a word
            await asyncio.open_connection("127.0.0.1", running.port, ssl=context)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        _, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=context)
        writer.transport.abort()


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_connection_on_which_nothing_comes_is_closed(
    encrypted: bool, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servicekit.server._HANDSHAKE_MILLISECONDS", 200)
    async with serve(kinds(fine), **(listener(pair) if encrypted else {})) as running, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        while await reader.read(1000):  # without TLS the server speaks first
            pass
        writer.transport.abort()


async def test_a_renewed_certificate_is_shown_without_a_restart_and_calls_in_progress_go_on(
    ours: Authority, pair: Pair
) -> None:
    finished = asyncio.Event()

    async def act(_context: Context) -> str:
        await finished.wait()
        return "fine"

    async with serve(kinds(act), **listener(pair)) as running, channel_to(running, files(ours)) as channel:
        assert lines(await shown_by(running.port)) == lines(pair.certificate.read_bytes())
        call = begin(channel, "UnaryStream", timeout=PATIENCE)
        assert (await call.read()).value == "first"

        renewed = pair.renew(ours.ca)
        assert lines(await shown_by(running.port)) == lines(renewed)
        finished.set()
        assert (await call.read()).value == "fine"
        assert await answer(running, files(ours)) is grpc.StatusCode.OK


async def test_half_of_a_new_pair_leaves_the_old_one_in_force(ours: Authority, pair: Pair) -> None:
    async with serve(kinds(fine), **listener(pair)) as running:
        before = pair.certificate.read_bytes()
        replace(pair.certificate, ours.issue("other").certificate.read_bytes())

        assert lines(await shown_by(running.port)) == lines(before)
        assert await answer(running, files(ours)) is grpc.StatusCode.OK


async def test_other_authorities_for_clients_are_believed_without_a_restart(
    ours: Authority, theirs: Authority, pair: Pair
) -> None:
    client, stranger = ours.issue("client"), theirs.issue("stranger")
    async with serve(kinds(fine), **listener(pair, ours)) as running:
        replace(ours.file.with_name("believed.pem"), ours.file.read_bytes())
        believed = CertificateFiles(authorities=NamedFile("CHANNEL_CA_FILE", ours.file.with_name("believed.pem")))
        replace(ours.file, theirs.file.read_bytes())

        def showing(shown: Pair) -> CertificateFiles:
            return CertificateFiles(
                NamedFile("CHANNEL_CERT_FILE", shown.certificate),
                NamedFile("CHANNEL_KEY_FILE", shown.key),
                believed.authorities,
            )

        assert await answer(running, showing(stranger)) is grpc.StatusCode.OK
        assert await answer(running, showing(client)) is grpc.StatusCode.UNAVAILABLE


async def test_a_channel_shows_its_renewed_certificate_and_its_calls_in_progress_go_on(
    ours: Authority, theirs: Authority, pair: Pair, tmp_path: Path
) -> None:
    finished = asyncio.Event()

    async def act(context: Context) -> str:
        if any(key == "wait" for key, _ in context.invocation_metadata()):
            await finished.wait()
        return str(context.auth_context()["x509_pem_cert"][0], "ascii")

    clients = Authority(ours.ca, tmp_path / "clients.pem")
    replace(clients.file, ours.file.read_bytes())
    client = ours.issue("client")
    first = client.certificate.read_bytes()
    async with (
        serve(kinds(act), **listener(pair, clients)) as running,
        channel_to(running, files(ours, client)) as channel,
    ):
        call = begin(channel, "UnaryStream", timeout=PATIENCE, metadata=(("wait", "for it"),))
        assert (await call.read()).value == "first"
        replace(clients.file, theirs.file.read_bytes())
        second = client.renew(theirs.ca)

        (shown,) = (await ask(channel, "UnaryUnary")).messages
        assert lines(shown.encode()) == lines(second)
        finished.set()
        assert lines((await call.read()).value.encode()) == lines(first)


async def test_a_channel_believes_other_authorities_without_being_opened_again(
    ours: Authority, theirs: Authority, pair: Pair
) -> None:
    async with serve(kinds(fine), **listener(pair)) as running, channel_to(running, files(ours)) as channel:
        assert (await ask(channel, "UnaryUnary")).code is grpc.StatusCode.OK
        replace(ours.file, theirs.file.read_bytes())
        assert (await ask(channel, "UnaryUnary", timeout=BRIEFLY)).code is grpc.StatusCode.UNAVAILABLE
        pair.renew(theirs.ca)
        assert (await ask(channel, "UnaryUnary", timeout=PATIENCE, wait_for_ready=True)).code is grpc.StatusCode.OK


async def test_closing_a_channel_ends_what_is_left_on_its_old_certificates(ours: Authority, pair: Pair) -> None:
    async def act(_context: Context) -> str:
        await asyncio.Event().wait()
        return "unreachable"

    client = ours.issue("client")
    async with serve(kinds(act), **listener(pair, ours)) as running:
        async with channel_to(running, files(ours, client)) as channel:
            old = begin(channel, "UnaryStream")
            await old.read()
            client.renew(ours.ca)
            new = begin(channel, "UnaryStream")
            await new.read()
        async with asyncio.timeout(PATIENCE):
            assert [await old.code(), await new.code()] == [grpc.StatusCode.CANCELLED] * 2
