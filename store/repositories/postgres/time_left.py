"""How long a statement may run."""

from servicekit import context
from servicekit.errors import DeadlineExceededError


def milliseconds_left() -> int:
    """What the caller's deadline leaves, for statement_timeout; 0 is no limit to PostgreSQL."""
    left = context.remaining()
    if left is None:
        return 0
    if left <= 0:
        raise DeadlineExceededError("the deadline passed before the search began")
    return max(1, int(left * 1000))
