"""Which failed calls are made again, and when."""

import random
from dataclasses import dataclass

from trimem.client.errors import AbortedError, ResourceExhaustedError, TrimemError, UnavailableError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How hard a client tries. A call is never made again when that could write twice, nor beyond its timeout."""

    #: Calls in all; 1 is no retry.
    attempts: int = 4
    #: Seconds before the second call; doubled each time.
    first_pause: float = 0.2
    longest_pause: float = 5.0

    def pause(self, attempt: int, error: TrimemError, seconds_left: float) -> float | None:
        """Seconds to wait after this attempt, from 1, has failed; None when the error is final."""
        if attempt >= self.attempts or not _may_pass(error):
            return None
        # What failed at the same moment must not come back at the same moment. Services have this in servicekit.jitter,
        # which the client must do without.
        spread = random.uniform(0.5, 1)  # noqa: S311 - it guards no secret
        pause = min(self.first_pause * 2 ** min(attempt - 1, 32), self.longest_pause) * spread
        if error.retry_after is not None:  # never sooner than the server says
            pause = max(pause, error.retry_after * (1.5 - spread / 2))
        return pause if pause < seconds_left else None


def _may_pass(error: TrimemError) -> bool:
    """Whether the same call may succeed by itself later.

    Without a time to come back, RESOURCE_EXHAUSTED is a message that is too large and ABORTED a lost race.
    """
    if isinstance(error, UnavailableError):
        return True
    return isinstance(error, ResourceExhaustedError | AbortedError) and error.retry_after is not None
