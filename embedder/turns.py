"""Taking turns at something that only one can use well at a time."""

import threading
from types import TracebackType
from typing import Self


class Turns:
    """A lock that threads get in the order in which they asked.

    Two models on one processor are slower together than one after the other: each uses all cores, and their threads
    wait for each other in the middle of every operation. An ordinary lock would often go back to the thread that
    has just released it, and a busy model would shut the other one out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._now = 0

    def __enter__(self) -> Self:
        with self._changed:
            mine = self._next
            self._next += 1
            self._changed.wait_for(lambda: self._now == mine)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._now += 1
            self._changed.notify_all()
