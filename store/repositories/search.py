"""What a search asks of the place where events are kept."""

from typing import Protocol

from store.events import EmbeddingSpace, EventFilter, SearchHit, Vector


class SearchRepository(Protocol):
    """Finds events. Raises as EventRepository does."""

    async def nearest(
        self, vector: Vector, space: EmbeddingSpace | None, matching: EventFilter, limit: int
    ) -> list[SearchHit]:
        """The embedded events nearest to a vector by cosine, nearest first; at most `limit`.

        A filter never hides events: fewer than `limit` hits means that there are no more. `space` is None for a
        vector that did not come from the embedder.
        """
        ...
