"""Token buckets: a rate, and a burst above it, for each of many holders."""

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

#: Holders that are remembered. A full bucket needs no memory, so only those count who called just now; when there are
#: more, the one who has not called for longest starts with a full bucket again. That gives those little who call from
#: so many addresses: each address has a bucket of its own anyway.
_MAX_HOLDERS = 10_000


class TokenBuckets:
    """One bucket a holder: it fills at the rate up to the burst, and what is done takes out of it.

    Of a bucket only the moment is kept at which it will be full (the generic cell rate algorithm), in whole
    nanoseconds, so that a wait that was told is never too short by rounding.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        max_holders: int = _MAX_HOLDERS,
    ) -> None:
        """`rate` is per second; 0 means no limit."""
        self._per_token = ceil(1e9 / rate) if rate else 0
        self._capacity = burst * self._per_token
        self._clock = clock
        self._max_holders = max_holders
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def take(self, holder: str, count: int = 1) -> float:
        """Take so much out, if it is there: 0. Else nothing is taken, and the answer is in how many seconds to ask.

        What is more than the bucket holds needs a full one and leaves a debt: nothing has to be refused for ever.
        """
        now = self._clock()
        full_at = self._full(holder, now)
        wait = full_at + min(count * self._per_token, self._capacity) - self._capacity - now
        if wait > 0:
            return _seconds(wait)
        self._put(holder, full_at + count * self._per_token, now)
        return 0.0

    def reserve(self, holder: str, longest: float) -> float:
        """Take one out, now or later: the answer is in how many seconds it is there. For those who wait for it.

        When that is more than `longest` nothing is taken.
        """
        now = self._clock()
        full_at = self._full(holder, now) + self._per_token
        wait = _seconds(max(0, full_at - self._capacity - now))
        if wait <= longest:
            self._put(holder, full_at, now)
        return wait

    def __len__(self) -> int:
        """How many holders are remembered."""
        return len(self._full_at)

    def _full(self, holder: str, now: int) -> int:
        return max(now, self._full_at.get(holder, now))

    def _put(self, holder: str, full_at: int, now: int) -> None:
        if not self._per_token:
            return
        self._full_at[holder] = full_at
        self._full_at.move_to_end(holder)
        # Two at most for one that came: the dictionary shrinks after a storm, and no call pays for all of it.
        for _ in range(2):
            oldest = next(iter(self._full_at), None)
            if oldest is None or (len(self._full_at) <= self._max_holders and self._full_at[oldest] > now):
                return
            del self._full_at[oldest]


def _seconds(nanoseconds: int) -> float:
    """In full milliseconds, rounded up: nothing is lost on the way to the caller."""
    return ceil(nanoseconds / 1_000_000) / 1000
