"""Changing the model of stored vectors: what there is at the end, what is left of it, what is refused."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from store import migrate
from store.errors import ReembedRefusedError, ReembedRunningError, SchemaError
from store.events import ReembedPhase
from store.repositories.postgres.reembed import BY_INDEX, EXACTLY, NEAREST, PostgresReembed, read_job
from store.repositories.postgres.spaces import PostgresSpaces
from store.use_cases.reembed_undo import abandon, drop_old
from tests.conftest import NewDatabase
from tests.fixtures_reembed import EVENTS, KINDS, LONG, Ground, Model, prepared
from tests.fixtures_store import SPACE, plan, space_vector


@pytest_asyncio.fixture(params=KINDS)
async def ground(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[Ground]:
    """A database with events."""
    async with prepared(request.param, new_database) as made:
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


async def test_recall_compares_the_new_index_with_a_scan_of_everything(ground: Ground) -> None:
    await ground.run(Model(LONG), swap=False)
    vector = space_vector(LONG, "event number 1")

    async with ground.database.transaction() as connection:
        await connection.execute(BY_INDEX)
        by_index = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {NEAREST}", vector, 10))
        await connection.execute(EXACTLY)
        exact = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {NEAREST}", vector, 10))

    assert "ix_events_next_embedding" in by_index
    assert "Seq Scan" not in by_index
    assert "ix_events_next_embedding" not in exact


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
