"""Filling the vectors of another model: which events get one, whatever happens to them or to the embedder meanwhile."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from store.errors import EmbedderUnavailableError, EmbeddingSpaceMismatchError, ReembedRefusedError
from store.events import ReembedPhase
from store.repositories.postgres.reembed import PostgresReembed, read_job
from store.repositories.reembed import FilledEvent, OtherColumn, RowKey
from store.use_cases.reembed_undo import roll_back
from tests.conftest import NewDatabase
from tests.fixtures_reembed import EVENTS, KINDS, LONG, Ground, Model, prepared
from tests.fixtures_store import SPACE, space_vector


@pytest_asyncio.fixture(params=KINDS)
async def ground(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[Ground]:
    """A database with events."""
    async with prepared(request.param, new_database) as made:
        yield made


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


async def test_times_that_no_datetime_holds_are_embedded_too(ground: Ground) -> None:
    if await ground.sql("SELECT FROM pg_partitioned_table WHERE partrelid = 'events'::regclass"):
        await ground.sql(
            "CREATE TABLE events_from_2100 PARTITION OF events FOR VALUES FROM ('2100-01-01Z') TO (MAXVALUE)"
        )
    await ground.insert("at the end of time", timestamp="infinity")

    await ground.run(Model(LONG))

    assert await ground.wrong_vectors(LONG) == 0
    assert await ground.states() == {"EMBEDDED": EVENTS + 1}


async def test_keys_are_read_in_order(ground: Ground) -> None:
    async with filling(ground, Model(LONG)) as repository:
        seen: list[RowKey] = []
        while some := await repository.unfilled(OtherColumn.NEXT, seen[-1] if seen else None, 7):
            seen += [one.key for one in some]

    assert len(set(seen)) == EVENTS
