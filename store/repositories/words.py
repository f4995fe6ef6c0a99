"""What is asked about events that no search finds by words yet."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from store.events import Json, Words


class WordsClaim(Protocol):
    """Events without words, that nobody else changes or claims as long as we hold them."""

    @property
    def contents(self) -> Sequence[Json]:
        """What they say, oldest first."""
        ...

    async def fill(self, words: Sequence[Words]) -> None:
        """Write the words of each; seen by others when the claim ends."""
        ...


class WordsRepository(Protocol):
    """Keeps the words that events are found by. Raises as EventRepository does."""

    def claim_without_words(self, limit: int) -> AbstractAsyncContextManager[WordsClaim]:
        """Hold up to `limit` events whose words nobody has looked for, to the end of the block.

        Leaves out those that another claim holds. An exception in the block undoes what it filled.
        """
        ...

    async def count_without_words(self) -> int:
        """How many there are."""
        ...
