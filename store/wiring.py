"""Which parts make a store."""

from dataclasses import dataclass
from typing import Self

from store.database import Database
from store.repositories.events import EventRepository
from store.repositories.memory import MemoryData, MemoryEvents, MemoryOutbox, MemorySearch, MemorySpaces
from store.repositories.outbox import Outbox
from store.repositories.postgres.events import PostgresEvents
from store.repositories.postgres.outbox import PostgresOutbox
from store.repositories.postgres.search import PostgresSearch
from store.repositories.postgres.spaces import PostgresSpaces
from store.repositories.search import SearchRepository
from store.repositories.spaces import SpaceRepository
from store.servicers.event_servicer import EventServicer
from store.settings import StoreSettings
from store.use_cases.create_events import CreateEvents
from store.use_cases.embedding import TextEmbedding
from store.use_cases.get_event import GetEvent
from store.use_cases.list_events import ListEvents
from store.use_cases.search_events import SearchEvents


@dataclass(frozen=True, slots=True)
class Repositories:
    """Where a store keeps things."""

    events: EventRepository
    search: SearchRepository
    outbox: Outbox
    spaces: SpaceRepository

    @classmethod
    def of_postgres(cls, database: Database) -> Self:
        """Those of a running store."""
        return cls(
            PostgresEvents(database), PostgresSearch(database), PostgresOutbox(database), PostgresSpaces(database)
        )

    @classmethod
    def of_memory(cls) -> Self:
        """Fakes for tests, that share what they keep."""
        data = MemoryData()
        return cls(MemoryEvents(data), MemorySearch(data), MemoryOutbox(data), MemorySpaces(data))


def event_servicer(settings: StoreSettings, repositories: Repositories, embedding: TextEmbedding) -> EventServicer:
    """The use cases of EventService, wired."""
    return EventServicer(
        CreateEvents(
            repositories.events,
            embedding if settings.embedding_auto_generate else None,
            settings.embedding_fail_strategy,
        ),
        GetEvent(repositories.events),
        ListEvents(repositories.events),
        SearchEvents(repositories.search, embedding, settings.embedding_dimension),
    )
