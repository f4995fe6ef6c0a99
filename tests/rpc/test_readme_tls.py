"""The commands of the README that make certificates, run as they stand there."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import grpc
import pytest

from servicekit.channels import open_channel
from servicekit.settings import ServiceSettings
from tests.rpc.servicekit_rig import Context, ask, kinds, serve

README = Path(__file__).resolve().parents[2] / "README.md"


def section() -> str:
    """The part about TLS."""
    found = re.search(r"^## TLS\n(.*?)^## ", README.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


async def fine(_context: Context) -> str:
    return "fine"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the commands are those of OpenSSL")
async def test_its_certificates_do_for_mutual_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    making, using, *_ = re.findall(r"^```\n(.*?)^```$", section(), re.DOTALL | re.MULTILINE)
    await asyncio.to_thread(subprocess.run, ["sh", "-ec", making], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    for name, value in re.findall(r"([A-Z_]+)=(\S+)", using):
        monkeypatch.setenv(name, value)

    settings = ServiceSettings(_env_file=None)
    listener = settings.listener_files()
    assert listener is not None
    assert listener.authorities is not None
    assert not listener.open_to_all()
    async with (
        serve(kinds(fine)) as running,
        open_channel(running.target, (), max_message_bytes=1_000_000, tls=settings.channel_files()) as channel,
    ):
        assert (await ask(channel, "UnaryUnary")).code is grpc.StatusCode.OK
