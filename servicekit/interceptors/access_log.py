"""One line for each call."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import structlog

from servicekit.interceptors.layers import AroundLayer, Call
from servicekit.interceptors.outcome import outcome

_FAULTS_OF_OURS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}


class AccessLogLayer(AroundLayer):
    """Logs method, code and duration: never what was said, because that is the user's."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("access")

    @contextmanager
    def around(self, call: Call) -> Iterator[None]:
        started = time.perf_counter()
        peer = call.context.peer()
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            seconds = time.perf_counter() - started
            # The answer goes first: a line takes as long to write as all the rest that is around a call.
            asyncio.get_running_loop().call_soon(self._write, call, outcome(call, error), seconds, peer)

    def _write(self, call: Call, code: grpc.StatusCode, seconds: float, peer: str) -> None:
        level = "error" if code in _FAULTS_OF_OURS else "debug" if call.is_infrastructure else "info"
        getattr(self._log, level)(
            "rpc", method=call.method, code=code.name, duration_ms=round(seconds * 1000, 2), peer=peer
        )
