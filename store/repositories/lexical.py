"""What keeps the counts that BM25 needs up to date."""

from typing import Protocol


class LexicalRepository(Protocol):
    """Knows in how many events each word is. Raises as EventRepository does."""

    async def fold(self) -> int:
        """Add a bounded number of changes to the counts; how many there were.

        Several stores may do so at once. Searches count changes that are not folded yet, too: folding keeps them fast.
        """
        ...
