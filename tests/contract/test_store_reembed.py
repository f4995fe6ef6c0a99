"""Changing the model of stored vectors: on one table, and on one in partitions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from store import migrate
from store.database import Database, translated
from store.errors import (
    EmbedderFailedError,
    EmbedderUnavailableError,
    EmbeddingSpaceMismatchError,
    ReembedRefusedError,
    ReembedRunningError,
    SchemaError,
    SpaceChangedError,
    TextsRefusedError,
)
from store.events import EmbeddingSpace, ReembedPhase
from store.repositories.postgres.reembed import PostgresReembed, read_job
from store.repositories.postgres.spaces import PostgresSpaces
from store.repositories.reembed import FilledEvent, OtherColumn, RowKey
from store.use_cases.embedder import EmbeddedTexts, InputKind
from store.use_cases.reembed import MOST_UNFILLED, Reembed, ReembedOptions
from store.use_cases.reembed_undo import MOST_PENDING, abandon, drop_old, roll_back
from tests.conftest import NewDatabase
from tests.fixtures_store import DIMENSION, SPACE, execute, open_database, plan, space_vector

#: Longer vectors, so that a mixture cannot even be stored.
LONG = EmbeddingSpace("test/long-model", "", 2 * DIMENSION, "a" * 64)

EVENTS = 30


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
        return sum(row["vector"] is None or not _equal(row["vector"], space, row["text"]) for row in rows)

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


def _equal(kept: str, space: EmbeddingSpace, text: str) -> bool:
    values = [float(value) for value in kept.strip("[]").split(",")]
    expected = space_vector(space, text).tolist()
    return len(values) == len(expected) and values == pytest.approx(expected, abs=1e-6)


@pytest_asyncio.fixture(params=["one table", "partitions"])
async def ground(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[Ground]:
    """A database with events."""
    url = await new_database()
    await asyncio.to_thread(migrate.upgrade, plan(url), "0003" if request.param == "one table" else "head")
    months = ["2026-03-05", "2026-04-05 10:00"]
    if request.param == "partitions":
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


async def test_every_event_gets_a_vector_of_the_new_model(ground: Ground) -> None:
    assert await ground.run(Model(LONG)) is ReembedPhase.SWAPPED

    assert await ground.wrong_vectors(LONG) == 0
    assert await ground.wrong_vectors(SPACE, "embedding_old") == 0
    assert await ground.states() == {"EMBEDDED": EVENTS}
    assert await PostgresSpaces(ground.database).space() == LONG
    assert await ground.indexes() == {"ix_events_embedding": True, "ix_events_old_embedding": True}
    job = await read_job(ground.database)
    assert job is not None
    assert job.other_space == SPACE
    assert job.recall == pytest.approx(1)


async def test_the_schema_is_the_described_one_at_the_end_and_on_the_way(ground: Ground) -> None:
    [[revision]] = await ground.sql("SELECT version_num FROM alembic_version")
    if revision != migrate.head():
        pytest.skip("only the newest revision is compared")

    await ground.run(Model(LONG), swap=False)
    await asyncio.to_thread(migrate.check, plan(ground.url))
    await ground.run(Model(LONG))
    await asyncio.to_thread(migrate.check, plan(ground.url, LONG.dimension))


async def test_indexes_of_partitions_have_the_name_of_the_whole(ground: Ground) -> None:
    async def names() -> set[str]:
        rows = await ground.sql(
            "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
            "WHERE inhparent = to_regclass('ix_events_embedding')"
        )
        return {row[0] for row in rows}

    await ground.run(Model(LONG))
    after = await names()

    assert all(name.startswith("ix_events_embedding_") for name in after)
    async with PostgresReembed.alone(ground.database) as repository:
        await drop_old(repository)
    await ground.run(Model(SPACE))
    assert await names() == after


async def test_nothing_is_left_of_the_old_vectors_once_they_are_dropped(ground: Ground) -> None:
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'events'::regclass AND NOT attisdropped ORDER BY 1"
    things = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'events'::regclass ORDER BY 1"
    before = await ground.sql(columns), await ground.sql(things), await ground.indexes()

    await ground.run(Model(LONG))
    async with PostgresReembed.alone(ground.database) as repository:
        await drop_old(repository)

    assert (await ground.sql(columns), await ground.sql(things), await ground.indexes()) == before
    assert await read_job(ground.database) is None
    assert [row[0] for row in await ground.sql("SELECT column_name FROM embedding_spaces")] == ["events.embedding"]


async def test_nothing_is_left_of_a_change_that_was_given_up(ground: Ground) -> None:
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'events'::regclass AND NOT attisdropped ORDER BY 1"
    before = await ground.sql(columns)
    assert await ground.run(Model(LONG), swap=False) is ReembedPhase.READY

    async with PostgresReembed.alone(ground.database) as repository:
        with pytest.raises(ReembedRefusedError, match="no old vectors"):
            await drop_old(repository)
        await abandon(repository)
        with pytest.raises(ReembedRefusedError, match="no unfinished change"):
            await abandon(repository)

    assert await ground.sql(columns) == before
    assert await ground.wrong_vectors(SPACE) == 0
    assert await ground.indexes() == {"ix_events_embedding": True}


async def test_a_plan_changes_nothing(ground: Ground) -> None:
    await ground.sql("ANALYZE events")
    async with PostgresReembed.alone(ground.database) as repository:
        found = await ground.reembed(repository, Model(LONG)).plan()

    assert (found.space, found.other_space, found.events) == (SPACE, LONG, EVENTS)
    assert found.bytes == EVENTS * LONG.dimension * 8
    assert await read_job(ground.database) is None


@contextlib.asynccontextmanager
async def filling(ground: Ground, model: Model) -> AsyncIterator[PostgresReembed]:
    """In the middle of the first pass."""
    async with PostgresReembed.alone(ground.database) as repository:
        await repository.begin(model.space)
        yield repository


async def test_what_is_written_or_changed_meanwhile_is_caught(ground: Ground) -> None:
    model = Model(LONG)
    async with filling(ground, model) as repository:
        events = await repository.unfilled(OtherColumn.NEXT, None, 100)
        vectors = [FilledEvent(one, space_vector(LONG, one.content["text"])) for one in events]
        changed, deleted = events[3], events[4]
        await ground.sql(
            """
            UPDATE events SET content = '{"text": "quite another"}', embedding = $2::text::vector WHERE id = $1
            """,
            changed.key.id,
            str(space_vector(SPACE, "quite another").tolist()),
        )
        await ground.sql("DELETE FROM events WHERE id = $1", deleted.key.id)
        await ground.insert("before the position", timestamp="2026-03-01")

        await repository.fill(OtherColumn.NEXT, vectors, LONG, events[-1].key)
        assert (await repository.counts(OtherColumn.NEXT)).filled == EVENTS - 2
        # Filled, and changed later.
        await ground.sql(
            """
            UPDATE events SET content = '{"text": "changed late"}', embedding = $2::text::vector WHERE id = $1
            """,
            events[7].key.id,
            str(space_vector(SPACE, "changed late").tolist()),
        )

    await ground.run(model)

    assert await ground.states() == {"EMBEDDED": EVENTS}
    assert await ground.wrong_vectors(LONG) == 0
    assert model.calls[-1] != []


async def test_a_change_of_metadata_alone_keeps_the_new_vector(ground: Ground) -> None:
    model = Model(LONG)
    assert await ground.run(model, swap=False) is ReembedPhase.READY

    await ground.sql("UPDATE events SET metadata = '{\"seen\": true}'")

    [[missing]] = await ground.sql("SELECT count(*) FROM events WHERE embedding_next IS NULL")
    assert missing == 0


async def test_vectors_of_a_third_model_never_get_into_the_column(ground: Ground) -> None:
    third = replace(LONG, fingerprint="b" * 64)
    async with filling(ground, Model(LONG)) as repository:
        events = await repository.unfilled(OtherColumn.NEXT, None, 1)
        filled = [FilledEvent(events[0], space_vector(third, "x"))]
        with pytest.raises(EmbeddingSpaceMismatchError):
            await repository.fill(OtherColumn.NEXT, filled, third)

    with pytest.raises(ReembedRefusedError, match=r"unfinished change is to test/long-model.*--abandon"):
        await ground.run(Model(third))


async def test_it_goes_on_where_it_was(ground: Ground) -> None:
    model = Model(LONG)
    async with filling(ground, model) as repository:
        events = await repository.unfilled(OtherColumn.NEXT, None, 20)
        await repository.fill(
            OtherColumn.NEXT,
            [FilledEvent(one, space_vector(LONG, one.content["text"])) for one in events],
            LONG,
            events[-1].key,
        )

    await ground.run(model)

    first_batch = model.calls[1]  # behind the question which model it is
    assert not {one.content["text"] for one in events} & set(first_batch)
    assert await ground.wrong_vectors(LONG) == 0


async def test_what_a_build_of_an_index_has_left_is_built_again(ground: Ground) -> None:
    model = Model(LONG)
    await ground.run(model, swap=False)
    [[partition, index]] = await ground.sql(
        """
        SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relname LIKE 'ix_events_next_embedding%' AND c.relkind = 'i' LIMIT 1
        """
    )
    # As if it had been killed while it built the first index: that one is invalid, and there are no others.
    await ground.sql("DROP INDEX ix_events_next_embedding")
    await ground.sql(f"CREATE INDEX {index} ON {partition} USING hnsw (embedding_next vector_cosine_ops)")
    await ground.sql(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{index}'::regclass")
    await ground.sql("UPDATE reembed_job SET phase = 'INDEXING'")

    assert await ground.run(model, swap=False) is ReembedPhase.READY

    assert (await ground.indexes())["ix_events_next_embedding"]


async def test_texts_that_the_new_model_refuses_are_failed_and_come_back_with_the_old_one(ground: Ground) -> None:
    await ground.insert("odd", timestamp="2026-03-07")
    textless = await ground.insert("", timestamp="2026-03-08")

    await ground.run(Model(LONG, refused={"odd"}))

    assert await ground.states() == {"EMBEDDED": EVENTS, "FAILED": 2}
    reasons = {
        row[0]: row[1]
        for row in await ground.sql("SELECT id, embedding_error FROM events WHERE embedding_state = 'FAILED'")
    }
    assert "no text" in reasons.pop(textless)
    assert "is odd" in reasons.popitem()[1]
    async with PostgresReembed.alone(ground.database) as repository:
        await roll_back(repository, None, 100)
    assert await ground.states() == {"EMBEDDED": EVENTS + 2}


async def test_an_embedder_that_is_down_is_waited_for_but_not_for_ever(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.use_cases.reembed_filling._PAUSES", [0] * 4)

    with pytest.raises(EmbedderUnavailableError):
        await ground.run(Model(LONG, down_in=range(4, 100)))

    job = await read_job(ground.database)
    assert job is not None
    assert job.phase is ReembedPhase.FILLING
    assert job.position is not None
    assert await ground.run(Model(LONG, down_in=range(3, 6))) is ReembedPhase.SWAPPED
    assert await ground.wrong_vectors(LONG) == 0


async def test_a_text_that_breaks_the_embedder_fails_alone(ground: Ground) -> None:
    await ground.run(Model(LONG, poison="event number 9"))

    failed = await ground.sql("SELECT content->>'text', embedding_error FROM events WHERE embedding_state = 'FAILED'")
    assert [tuple(row) for row in failed] == [("event number 9", "broke")]
    assert await ground.wrong_vectors(LONG) == 0


async def test_a_swap_leaves_few_events_to_the_backfill_and_many_to_more_filling(ground: Ground) -> None:
    await ground.run(Model(LONG), swap=False)
    await ground.insert("late one")
    await ground.insert("waits anyway", vector_of=None)

    async with PostgresReembed.alone(ground.database) as repository:
        assert not await repository.swap(0)
        assert await PostgresSpaces(ground.database).space() == SPACE
        assert await ground.states() == {"EMBEDDED": EVENTS + 1, "PENDING": 1}

        assert await repository.swap(MOST_UNFILLED)

    assert await ground.states() == {"EMBEDDED": EVENTS, "PENDING": 2}
    assert await ground.wrong_vectors(LONG) == 0


async def test_rolling_back_loses_nothing_and_mixes_nothing(ground: Ground) -> None:
    await ground.run(Model(LONG))
    await ground.insert("written after", vector_of=LONG)
    await ground.sql(
        """
        UPDATE events SET content = '{"text": "changed after"}', embedding = $1::text::vector
        WHERE content->>'text' = 'event number 5'
        """,
        str(space_vector(LONG, "changed after").tolist()),
    )

    async with PostgresReembed.alone(ground.database) as repository:
        job = await roll_back(repository, None, 100)

    assert (job.phase, job.space, job.other_space) == (ReembedPhase.FILLING, SPACE, LONG)
    assert await ground.states() == {"EMBEDDED": EVENTS - 1, "PENDING": 2}
    assert await ground.wrong_vectors(SPACE) == 0
    assert await PostgresSpaces(ground.database).space() == SPACE
    assert (await ground.indexes())["ix_events_embedding"]
    # The backfill has done its work, and the way to the new model is taken once more.
    for text in ("written after", "changed after"):
        await ground.sql(
            "UPDATE events SET embedding_state = 'EMBEDDED', embedding = $2::text::vector WHERE content->>'text' = $1",
            text,
            str(space_vector(SPACE, text).tolist()),
        )
    assert await ground.run(Model(LONG)) is ReembedPhase.SWAPPED
    assert await ground.wrong_vectors(LONG) == 0
    assert await ground.states() == {"EMBEDDED": EVENTS + 1}


async def test_the_old_model_embeds_what_came_since_before_its_vectors_come_back(ground: Ground) -> None:
    await ground.run(Model(LONG))
    await ground.insert("written after", vector_of=LONG)
    await ground.insert("odd", vector_of=LONG)

    async with PostgresReembed.alone(ground.database) as repository:
        with pytest.raises(ReembedRefusedError, match="old vectors are of test/model"):
            await roll_back(repository, Model(LONG), 100)
        await roll_back(repository, Model(SPACE, refused={"odd"}), 100)

    assert await ground.states() == {"EMBEDDED": EVENTS + 1, "PENDING": 1}
    assert await ground.wrong_vectors(SPACE) == 0


async def test_rolling_back_refuses_to_stop_everybody_for_long(ground: Ground) -> None:
    await ground.run(Model(LONG))
    await ground.sql(
        """
        INSERT INTO events (id, content, embedding, embedding_state)
        SELECT gen_random_uuid(), '{"text": "x"}', $1::text::vector, 'EMBEDDED' FROM generate_series(1, $2::int)
        """,
        str([0] * LONG.dimension),  # which the index leaves out, so that this is fast
        MOST_PENDING + 1,
    )

    async with PostgresReembed.alone(ground.database) as repository:
        with pytest.raises(ReembedRefusedError, match="--rollback --embedder"):
            await roll_back(repository, None, 100)

    assert await PostgresSpaces(ground.database).space() == LONG


async def test_two_changes_at_once_are_refused(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.repositories.postgres.reembed._LOCK_TRIES", 1)
    async with PostgresReembed.alone(ground.database):
        with pytest.raises(ReembedRunningError):
            async with PostgresReembed.alone(ground.database):
                pass
    async with PostgresReembed.alone(ground.database):
        pass


async def test_what_does_not_go_together_is_refused(ground: Ground) -> None:
    with pytest.raises(ReembedRefusedError, match="are those of test/model"):
        await ground.run(Model(SPACE))
    with pytest.raises(ReembedRefusedError, match="longer vectors than an index takes"):
        await ground.run(Model(replace(LONG, dimension=2001)))
    await ground.run(Model(LONG))
    assert await ground.run(Model(LONG)) is ReembedPhase.SWAPPED  # as after a kill right behind the exchange
    with pytest.raises(ReembedRefusedError, match="--drop-old"):
        await ground.run(Model(replace(LONG, fingerprint="b" * 64)))
    await ground.sql("DELETE FROM reembed_job")
    await ground.sql("DELETE FROM embedding_spaces")
    with pytest.raises(ReembedRefusedError, match="adopt-space"):
        await ground.run(Model(LONG))


async def test_columns_of_others_are_not_taken_for_ours(ground: Ground) -> None:
    await ground.sql("ALTER TABLE events ADD COLUMN embedding_old text")

    with pytest.raises(ReembedRefusedError, match="embedding_old"):
        await ground.run(Model(LONG))

    assert await read_job(ground.database) is None


async def test_an_index_that_finds_too_little_is_not_swapped_in(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def poor(_self: object, _vector: object, _limit: int) -> tuple[list[float], list[float]]:
        return [0.1, 0.9], [0.1, 0.2]

    monkeypatch.setattr(PostgresReembed, "nearest", poor)

    with pytest.raises(ReembedRefusedError, match=r"recall@10 of the new index is 0\.500"):
        await ground.run(Model(LONG))

    assert await PostgresSpaces(ground.database).space() == SPACE
    assert await ground.run(Model(LONG), min_recall=0.5) is ReembedPhase.SWAPPED


async def test_a_transaction_that_holds_the_table_delays_the_exchange_and_is_not_harmed(ground: Ground) -> None:
    await ground.run(Model(LONG), swap=False)
    async with ground.database.transaction() as reader:
        await reader.fetchval("SELECT count(*) FROM events")
        swapping = asyncio.create_task(ground.run(Model(LONG)))
        # The first tries run into their time limit; others work between them.
        for _ in range(5):
            assert await ground.sql("SELECT count(*) FROM events")
        assert not swapping.done()
        assert await reader.fetchval(
            "SELECT dimension FROM embedding_spaces WHERE column_name = 'events.embedding'"
        ) == (SPACE.dimension)

    assert await swapping is ReembedPhase.SWAPPED


async def test_times_that_no_datetime_holds_are_embedded_too(ground: Ground) -> None:
    if await ground.sql("SELECT FROM pg_partitioned_table WHERE partrelid = 'events'::regclass"):
        await ground.sql(
            "CREATE TABLE events_from_2100 PARTITION OF events FOR VALUES FROM ('2100-01-01Z') TO (MAXVALUE)"
        )
    await ground.insert("at the end of time", timestamp="infinity")

    await ground.run(Model(LONG))

    assert await ground.wrong_vectors(LONG) == 0
    assert await ground.states() == {"EMBEDDED": EVENTS + 1}


async def test_a_schema_without_the_job_is_not_gone_back_to_while_there_is_one(ground: Ground) -> None:
    [[revision]] = await ground.sql("SELECT version_num FROM alembic_version")
    if revision != migrate.head():
        pytest.skip("there is nothing to go back from")
    await ground.run(Model(LONG), swap=False)

    with pytest.raises(SchemaError, match=r"reembed --abandon"):
        await asyncio.to_thread(migrate.downgrade, plan(ground.url), "0003")

    async with PostgresReembed.alone(ground.database) as repository:
        await abandon(repository)
    await asyncio.to_thread(migrate.downgrade, plan(ground.url), "0003")


async def test_statements_from_before_the_exchange_say_that_there_was_one(ground: Ground) -> None:
    read = "SELECT embedding FROM events LIMIT 1"
    store = "INSERT INTO events (id, content, embedding, embedding_state) VALUES ($1, '{}', $2, 'EMBEDDED')"
    old = space_vector(SPACE, "x")
    async with ground.database.connection() as connection:
        async with connection.transaction():
            await connection.fetch(read)
            await connection.execute(store, uuid4(), old)
            await connection.fetch("SELECT embedding <=> $1 FROM events", old)
        await ground.run(Model(LONG))

        for statement, arguments in (
            (read, ()),
            (store, (uuid4(), old)),
            ("SELECT embedding <=> $1 FROM events", (old,)),
        ):
            with pytest.raises(SpaceChangedError):
                async with translated(), connection.transaction():
                    await connection.fetch(statement, *arguments)
        async with connection.transaction():
            assert len((await connection.fetchval(read)).to_list()) == LONG.dimension


async def test_keys_are_read_in_order(ground: Ground) -> None:
    async with filling(ground, Model(LONG)) as repository:
        seen: list[RowKey] = []
        while some := await repository.unfilled(OtherColumn.NEXT, seen[-1] if seen else None, 7):
            seen += [one.key for one in some]

    assert len(set(seen)) == EVENTS
