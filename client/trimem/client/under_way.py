"""A call that has been sent."""

import time
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import uuid4

from trimem.client.calls import Call

T = TypeVar("T")


@dataclass(slots=True)
class UnderWay(Generic[T]):
    """A call, and what it takes to make it again. All attempts share one timeout and one request id."""

    call: Call[T]
    #: What gRPC gave for the last attempt; None for a call that has nothing to ask.
    handle: Any = None
    request_id: str = field(default_factory=lambda: uuid4().hex)
    expires: float = 0.0

    def __post_init__(self) -> None:
        self.expires = time.monotonic() + self.call.timeout

    @property
    def seconds_left(self) -> float:
        """Of the timeout; at least a moment, because gRPC takes 0 and less for an error of ours."""
        return max(self.expires - time.monotonic(), 0.001)

    def cancel(self) -> None:
        """Tell the server that nobody waits any more; without effect when the call is over."""
        if self.handle is not None:
            self.handle.cancel()
