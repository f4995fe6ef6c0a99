"""Exchanging the vectors of two models, there and back: nothing is lost, nothing mixed, nobody harmed."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from store.database import translated
from store.errors import ReembedRefusedError, SpaceChangedError
from store.events import ReembedPhase
from store.repositories.postgres.reembed import PostgresReembed
from store.repositories.postgres.spaces import PostgresSpaces
from store.use_cases.reembed import MOST_UNFILLED
from store.use_cases.reembed_undo import MOST_PENDING, roll_back
from tests.conftest import NewDatabase
from tests.fixtures_reembed import EVENTS, KINDS, LONG, Ground, Model, prepared
from tests.fixtures_store import SPACE, space_vector


@pytest_asyncio.fixture(params=KINDS)
async def ground(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[Ground]:
    """A database with events."""
    async with prepared(request.param, new_database) as made:
        yield made


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
