"""How much may wait for a model: inputs and tokens."""

import asyncio
from types import TracebackType
from typing import Self

from embedder.waiting import Waiting
from servicekit.errors import ResourceExhaustedError, UnavailableError


class QueueFullError(ResourceExhaustedError):
    """More work waits than the queue takes."""

    reason = "QUEUE_FULL"


class BatcherClosedError(UnavailableError):
    """The batcher takes no more work, because its model is being unloaded or exchanged."""

    reason = "MODEL_UNLOADING"


class Room:
    """Lets calls in as long as there is room, counting what they bring until they leave. Belongs to one event loop."""

    def __init__(self, waiting: Waiting, *, max_items: int, max_tokens: int) -> None:
        """`waiting` is what waits already."""
        self._waiting = waiting
        self._max_items = max_items
        self._max_tokens = max_tokens
        #: How fast it goes, as far as is known.
        self.tokens_per_second = 1_000.0
        #: Inputs that were admitted and are not answered.
        self.items = 0
        self._expected = 0  # tokens of inputs that were admitted and do not wait yet, as far as anybody knows
        self._closed = False
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    async def admit(self, count: int, tokens: int, *, wait: bool) -> "Admission":
        """Room for `count` inputs of about `tokens` tokens. When there is none, wait for it or raise QueueFullError.

        A call that is larger than the whole queue is let in when nothing else waits. Raises BatcherClosedError.
        """
        while not self._closed and self.items and self._is_full(count, tokens):
            if not wait:
                raise self._full()
            self._changed.clear()
            await self._changed.wait()
        if self._closed:
            raise BatcherClosedError("the model is being unloaded or exchanged", retry_after=0.1)
        self._empty.clear()
        return Admission(self, count, tokens)

    def close(self) -> None:
        """Let nobody in any more, and turn away who waits."""
        self._closed = True
        self._changed.set()

    async def wait_empty(self) -> None:
        """Wait until all who were let in have left."""
        await self._empty.wait()

    def count(self, items: int, expected_tokens: int) -> None:
        """So many more, or fewer, are in."""
        self.items += items
        self._expected += expected_tokens
        self._changed.set()
        if not self.items:
            self._empty.set()

    def _is_full(self, count: int, tokens: int) -> bool:
        expected = self._waiting.tokens + self._expected
        full = expected >= self._max_tokens or expected + tokens > self._max_tokens
        return full or self.items + count > self._max_items

    def _full(self) -> QueueFullError:
        waiting = self._waiting.tokens
        delay = min(30.0, max(0.1, waiting / self.tokens_per_second / 2))
        return QueueFullError(
            f"{self.items} inputs with {waiting} tokens wait for the model already", retry_after=delay
        )


class Admission:
    """The right to have some inputs answered; ends with the block that it is used in."""

    def __init__(self, room: Room, count: int, tokens: int) -> None:
        self._room = room
        self._count = count
        self._expected = tokens
        room.count(count, tokens)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.count(-self._count, -self._expected)

    def arrived(self) -> None:
        """The inputs wait now, and are counted there as they are."""
        self._room.count(0, -self._expected)
        self._expected = 0
