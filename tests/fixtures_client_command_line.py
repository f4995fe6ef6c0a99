"""A terminal for `trimem code`, against a service that keeps files."""

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from typing import Any

import pytest

from trimem.client.cli.app import run
from trimem.client.cli.session import Session


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    status: int
    output: str
    problems: str

    def document(self, *, status: int = 0) -> Any:
        """The output as one JSON document, of a command that ended so."""
        assert self.status == status, self.problems
        return json.loads(self.output)


class Terminal:
    """Runs `trimem code` in a thread beside the service."""

    def __init__(self, target: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._target = target
        self._capsys = capsys

    async def __call__(self, *arguments: str) -> Ended:
        line = ["--url", self._target, "code", *arguments]
        status = await asyncio.to_thread(run, line, Session())
        output, problems = self._capsys.readouterr()
        return Ended(status, output, problems)


class BrokenEntry:
    """An entry of a folder of which a disk does not tell something."""

    def __init__(self, entry: Any, method: str) -> None:
        self._entry = entry
        self._method = method

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._method else getattr(self._entry, name)

    def _fail(self, **_options: Any) -> None:
        raise OSError(EIO, "Input/output error")


def break_disk(monkeypatch: pytest.MonkeyPatch, of: str, read: Callable[[Iterator[Any]], Iterable[Any]]) -> None:
    """Let folders called `of` be read as `read` makes of their entries."""
    whole = os.scandir

    @contextmanager
    def scandir(descriptor: int) -> Iterator[Iterable[Any]]:
        with whole(descriptor) as entries:
            is_broken = Path(f"/proc/self/fd/{descriptor}").readlink().name == of
            yield read(entries) if is_broken else entries

    monkeypatch.setattr("trimem.client.cli.code_walking.os.scandir", scandir)
