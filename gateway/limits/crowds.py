"""How many things each of many holders has going on at once."""

from collections import Counter


class Crowds:
    """One crowd a holder, up to a limit. Who has nothing going on is not remembered."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sizes: Counter[str] = Counter()

    def enter(self, holder: str) -> bool:
        """Whether there is room for one more, who must `leave` then."""
        if self._sizes[holder] >= self._limit:
            return False
        self._sizes[holder] += 1
        return True

    def leave(self, holder: str) -> None:
        """One less."""
        self._sizes[holder] -= 1
        if not self._sizes[holder]:
            del self._sizes[holder]

    def __len__(self) -> int:
        """How many holders are remembered."""
        return len(self._sizes)
