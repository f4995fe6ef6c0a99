"""How many calls may change repositories at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from servicekit.errors import ResourceExhaustedError


class IndexingRoom:
    """Each of these calls has a connection of its own beside the pool, and PostgreSQL has few."""

    def __init__(self, most_calls: int) -> None:
        """For so many calls."""
        self._left = most_calls

    @contextmanager
    def place(self) -> Iterator[None]:
        """For one call. Raises ResourceExhaustedError when there is none."""
        if not self._left:
            raise ResourceExhaustedError("as many calls index or delete as CODE_MAX_INDEXINGS allows", retry_after=5)
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1
