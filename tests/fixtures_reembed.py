"""What the tests of a change of model share."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np

from store import migrate
from store.database import Database
from store.errors import EmbedderFailedError, EmbedderUnavailableError, TextsRefusedError
from store.events import EmbeddingSpace, ReembedPhase
from store.repositories.postgres.reembed import PostgresReembed
from store.repositories.postgres.spaces import PostgresSpaces
from store.use_cases.embedder import EmbeddedTexts, InputKind
from store.use_cases.reembed import Reembed, ReembedOptions
from store.use_cases.reembed_undo import roll_back
from store.wiring import open_embedder
from tests.conftest import NewDatabase
from tests.fixtures_store import (
    DIMENSION,
    SPACE,
    StartStore,
    StoreUnderTest,
    create_request,
    execute,
    fake_embedder,
    open_database,
    plan,
    space_vector,
    store_settings,
)
from tests.fixtures_store_process import run
from trimem.store.v1 import event_service_pb2 as pb

#: Longer vectors, so that a mixture cannot even be stored.
LONG = EmbeddingSpace("test/long-model", "", 2 * DIMENSION, "a" * 64)

EVENTS = 30

WORDS = ["apple", "boiler", "cloud", "dune", "ember", "fjord", "grove", "harbour"]

#: How `events` is kept: before and since revision 0004.
KINDS = ["one table", "partitions"]


@dataclass
class Model:
    """An embedder without a network."""

    space: EmbeddingSpace
    refused: set[str] = field(default_factory=set)
    #: Calls, counted from 1, in which it is down.
    down_in: Container[int] = ()
    #: Breaks a whole call.
    poison: str | None = None
    calls: list[list[str]] = field(default_factory=list)

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """See Embedder."""
        self.calls.append(list(texts))
        if len(self.calls) in self.down_in:
            raise EmbedderUnavailableError("down")
        if self.poison in texts:
            raise EmbedderFailedError("broke")
        wrong = frozenset(place for place, text in enumerate(texts) if text in self.refused)
        if wrong:
            raise TextsRefusedError(wrong, "is odd")
        return EmbeddedTexts([space_vector(self.space, text) for text in texts], self.space)


class Silent:
    """An observer."""

    def begin(self, phase: ReembedPhase, total: int) -> None:
        """See ReembedObserver."""

    def progress(self, done: int, total: int | None = None) -> None:
        """See ReembedObserver."""


@dataclass
class Ground:
    """A database with events of SPACE."""

    url: str
    database: Database

    def reembed(self, repository: PostgresReembed, model: Model, **options: Any) -> Reembed:
        """The change to a model."""
        settings = ReembedOptions(**({"batch": 7} | options))
        return Reembed(repository, PostgresSpaces(self.database), model, Silent(), settings)

    async def run(self, model: Model, **options: Any) -> ReembedPhase:
        """Change to a model, as far as that goes."""
        async with PostgresReembed.alone(self.database) as repository:
            return (await self.reembed(repository, model, **options).run()).phase

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database itself."""
        return await execute(self.url, statement, *arguments)

    async def insert(self, text: str, *, timestamp: str = "", vector_of: EmbeddingSpace | None = SPACE) -> UUID:
        """An event as a store writes it; without `vector_of` it waits for its embedding."""
        identity = uuid4()
        await self.sql(
            """
            INSERT INTO events (id, timestamp, content, embedding, embedding_state)
            VALUES ($1, coalesce(nullif($2, '')::timestamptz, now()), jsonb_build_object('text', $3::text),
                    $4::text::vector, $5)
            """,
            identity,
            timestamp,
            text,
            None if vector_of is None else str(space_vector(vector_of, text).tolist()),
            "PENDING" if vector_of is None else "EMBEDDED",
        )
        return identity

    async def wrong_vectors(self, space: EmbeddingSpace, column: str = "embedding") -> int:
        """Embedded events whose vector is not the one that the model of `space` makes of their text."""
        rows = await self.sql(
            f"SELECT content->>'text' AS text, {column}::text AS vector FROM events WHERE embedding_state = 'EMBEDDED'"
        )
        return sum(row["vector"] is None or not _alike(row["vector"], space, row["text"]) for row in rows)

    async def states(self) -> dict[str, int]:
        """Events of each state."""
        rows = await self.sql("SELECT embedding_state, count(*) FROM events GROUP BY 1")
        return {row[0]: row[1] for row in rows}

    async def indexes(self) -> dict[str, bool]:
        """Indexes over vectors, of the whole table: name, and whether they are valid."""
        rows = await self.sql(
            "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = 'events'::regclass AND c.relname LIKE '%embedding%'"
        )
        return {row[0]: row[1] for row in rows}


@asynccontextmanager
async def prepared(kind: str, new_database: NewDatabase) -> AsyncIterator[Ground]:
    """A database with events, of one of KINDS."""
    url = await new_database()
    await asyncio.to_thread(migrate.upgrade, plan(url), "0003" if kind == "one table" else "head")
    months = ["2026-03-05", "2026-04-05 10:00"]
    if kind == "partitions":
        for month in (3, 4):
            await execute(
                url,
                f"CREATE TABLE events_y2026m0{month} PARTITION OF events FOR VALUES "
                f"FROM ('2026-0{month}-01T00:00:00Z') TO ('2026-0{month + 1}-01T00:00:00Z')",
            )
    async with open_database(url) as database:
        made = Ground(url, database)
        await PostgresSpaces(database).adopt_space(SPACE)
        for number in range(EVENTS):
            await made.insert(f"event number {number}", timestamp=months[number % 2])
        yield made


@dataclass
class Changing:
    """A store, and a second embedder with the model that it is to change to."""

    store: StoreUnderTest
    next_target: str
    first_target: str

    async def reembed(self, *, swap: bool = True) -> ReembedPhase:
        """Change to the model of the second embedder."""
        async with (
            open_database(self.store.database_url) as database,
            open_embedder(store_settings(), self.next_target) as embedder,
            PostgresReembed.alone(database) as repository,
        ):
            options = ReembedOptions(batch=100, swap=swap)
            return (await Reembed(repository, PostgresSpaces(database), embedder, Silent(), options).run()).phase

    async def roll_back(self) -> None:
        """Take the vectors of the first embedder back."""
        async with open_database(self.store.database_url) as database, PostgresReembed.alone(database) as repository:
            await roll_back(repository, None, 16)

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """`python -m store reembed …`."""
        return await run("reembed", *arguments, DATABASE_URL=self.store.database_url)

    async def wrong_vectors(self, space: EmbeddingSpace) -> list[str]:
        """Texts of embedded events whose vector is not that of the space."""
        rows = await self.store.rows(
            "SELECT content->>'text' AS text, embedding::text AS vector FROM events WHERE embedding_state = 'EMBEDDED'"
        )
        return [row["text"] for row in rows if not _alike(row["vector"], space, row["text"])]


def _alike(kept: str, space: EmbeddingSpace, text: str) -> bool:
    values, expected = np.array(json.loads(kept)), space_vector(space, text)
    return len(values) == len(expected) and bool(np.allclose(values, expected, rtol=1e-6, atol=1e-6))


@asynccontextmanager
async def changing(start_store: StartStore, space: EmbeddingSpace = LONG) -> AsyncIterator[Changing]:
    """A store with some events, and an embedder with another model."""
    async with fake_embedder() as (first, first_target), fake_embedder() as (second, next_target):
        second.space = space
        store = await start_store(
            embedder_target=first_target, embedder_next_target=next_target, backfill_interval_seconds=0.02
        )
        store.embedder = first
        await store_texts(store, [f"{random.choice(WORDS)} {random.choice(WORDS)} {n}" for n in range(80)])
        yield Changing(store, next_target, first_target)


async def store_texts(store: StoreUnderTest, texts: list[str]) -> list[str]:
    """Store events; returns their ids."""
    requests = [create_request(content={"text": text}) for text in texts]
    response = await store.stub.BatchCreateEvents(pb.BatchCreateEventsRequest(requests=requests))
    assert not any(result.HasField("error") for result in response.results)
    return [result.event.id for result in response.results]
