"""A terminal for `trimem code`, against a service that keeps files."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from trimem.client.cli.app import run
from trimem.client.cli.session import Session


@dataclass(frozen=True)
class Ended:
    status: int
    output: str
    problems: str

    def document(self) -> Any:
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


def answering(answer: Any) -> Callable[..., Any]:
    async def act(_request: Any, _context: Any) -> Any:
        return answer

    return act
