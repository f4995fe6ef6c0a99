"""How a client makes its calls. Made by `client/generate.py`."""

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import grpc

from trimem.client import wire_sync as wire
from trimem.client.calls import Call
from trimem.client.methods import methods_on
from trimem.client.retries import RetryPolicy
from trimem.client.statuses import error_of_call
from trimem.client.under_way import UnderWay

T = TypeVar("T")

#: Seconds that a call has, with all its retries, unless it is told.
TIMEOUT = 30.0
#: The same for one of the calls that many events, texts or files are sent in.
BATCH_TIMEOUT = 300.0

#: Calls with many events or texts that are under way at once: one is embedded while the next one travels.
_AT_ONCE = 2


class Calls:
    """Makes calls on a channel, again when that is safe and may help."""

    def __init__(
        self, channel: wire.Channel, *, metadata: tuple[tuple[str, str], ...], timeout: float, retry: RetryPolicy
    ) -> None:
        self._channel = channel
        self._metadata = metadata
        self._timeout = timeout
        self._retry = retry
        self._methods = methods_on(channel)

    def _time(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    def _run(self, call: Call[T]) -> T:
        return self._finish(self._begin(call))

    def _pages(self, page: Callable[[str], Call[tuple[list[T], str]]]) -> Generator[T, None, None]:
        """All of a list. `page` makes of a token the call for a page, which tells the token of the next one."""
        token, more = "", True
        while more:
            found, token = self._run(page(token))
            yield from found
            more = bool(token)

    def _pipelined(self, source: Generator[Call[T], None, None]) -> Generator[T, None, None]:
        """The results of calls in order, a few calls ahead of who asks for them."""
        begun: deque[UnderWay[T]] = deque()
        try:
            for call in source:
                begun.append(self._begin(call))
                if len(begun) > _AT_ONCE:
                    yield self._finish(begun.popleft())
            while begun:
                yield self._finish(begun.popleft())
        finally:
            for one in begun:
                one.cancel()

    def _begin(self, call: Call[T]) -> UnderWay[T]:
        begun = UnderWay(call)
        self._send(begun)
        return begun

    def _send(self, begun: UnderWay[Any]) -> None:
        if begun.call.request is not None:
            begun.handle = wire.begin(
                self._methods[begun.call.method],
                begun.call.request,
                timeout=begun.seconds_left,
                metadata=(*self._metadata, ("x-request-id", begun.request_id)),
            )

    def _finish(self, begun: UnderWay[T]) -> T:
        """The result of a call, which is made again as long as that is safe and may help."""
        call, attempt = begun.call, 1
        if begun.handle is None:
            return call.read(None)
        try:
            while True:
                try:
                    answer = wire.answer(begun.handle, is_stream=call.is_stream)
                except grpc.RpcError as failed:
                    error = error_of_call(failed, begun.request_id)
                else:
                    return call.read(answer)
                pause = self._retry.pause(attempt, error, begun.seconds_left)
                if pause is None:
                    return call.settle(error, attempt)
                wire.sleep(pause)
                attempt += 1
                self._send(begun)
        finally:
            begun.cancel()
