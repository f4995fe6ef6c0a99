"""Adoption of the monolith's databases, in the shapes that installations have."""

from uuid import UUID

import pytest

from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_migrations import OLD, ROWS, Old, adopt, check, downgrade
from tests.fixtures_store import execute, migrated, open_database

HISTORIC = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'events_historic'"


@pytest.mark.parametrize("old", OLD, ids=lambda old: old.name)
async def test_an_old_database_is_adopted_with_every_row(new_database: NewDatabase, old: Old) -> None:
    url = await new_database()
    await adopt(url, old)
    before = await execute(url, "SELECT id, timestamp, content, embedding::text FROM events ORDER BY id")

    await migrated(url)

    await check(url)
    assert await execute(url, "SELECT id, timestamp, content, embedding::text FROM events ORDER BY id") == before
    rows = await execute(url, "SELECT * FROM events ORDER BY id")
    assert [row["metadata"] for row in rows] == ['{"a": 1}', "{}", "{}", "[1, 2]"]
    assert [row["embedding_state"] for row in rows] == ["EMBEDDED", "PENDING", "EMBEDDED", "PENDING"]
    keys = await execute(url, "SELECT event_id, timestamp, request_id FROM event_keys ORDER BY event_id")
    assert [tuple(key) for key in keys] == [(row["id"], row["timestamp"], None) for row in rows]
    [key] = await execute(
        url,
        "SELECT pg_get_constraintdef(oid) AS is FROM pg_constraint "
        "WHERE conrelid = 'events'::regclass AND contype = 'p'",
    )
    assert key["is"] == 'PRIMARY KEY (id, "timestamp")'
    assert len(await execute(url, f"{HISTORIC} AND indexdef LIKE '%hnsw%vector_cosine_ops%'")) == 1
    assert len(await execute(url, f"{HISTORIC} AND indexdef LIKE '%jsonb_path_ops%'")) == 1


@pytest.mark.parametrize("old", [old for old in OLD if "created_at" in old.table], ids=lambda old: old.name)
async def test_rows_of_the_monolith_have_their_timestamp_for_times(new_database: NewDatabase, old: Old) -> None:
    url = await new_database()
    await adopt(url, old)
    before = await execute(url, "SELECT created_at FROM events ORDER BY id")

    await migrated(url)

    async with open_database(url) as database:
        for identity, *_ in ROWS:
            event = await Repositories.of_postgres(database).events.get(identity)
            assert event is not None
            assert event.create_time == event.update_time == event.timestamp
    # The old columns stay, and a new store, which knows nothing of them, can write.
    assert await execute(url, "SELECT created_at FROM events ORDER BY id") == before
    await execute(url, "INSERT INTO events (id, content) VALUES (gen_random_uuid(), '{\"n\": 1}')")


async def test_an_equal_index_is_renamed_and_not_built_again(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "indexes of other names"))

    await migrated(url)

    names = {row["indexname"] for row in await execute(url, HISTORIC)}
    assert {"events_pkey_historic", "idx_ts_historic", "ix_events_embedding_historic"} < names
    assert "events_hnsw" not in {row["indexname"] for row in await execute(url, "SELECT indexname FROM pg_indexes")}
    [kept] = await execute(url, f"{HISTORIC} AND indexname = 'ix_events_embedding_historic'")
    assert "m='8'" in kept["indexdef"]


async def test_what_an_operator_added_stays(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "an operator's own things"))

    await migrated(url)
    await downgrade(url, "0001")
    await migrated(url)

    await execute(url, "SELECT note, tenant FROM events")
    await execute(url, "SELECT * FROM recent")
    await execute(url, "SELECT * FROM of_mine")
    await check(url)


async def test_an_id_that_the_monolith_stored_twice_keeps_both_rows(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "key of id and timestamp"))
    await execute(
        url,
        "INSERT INTO events (id, timestamp, content) VALUES ($1, '2026-01-01', '{\"text\": \"again\"}')",
        UUID(int=1),
    )

    await migrated(url)

    assert len(await execute(url, "SELECT FROM events")) == len(ROWS) + 1
    [key] = await execute(url, "SELECT timestamp FROM event_keys WHERE event_id = $1", UUID(int=1))
    assert key["timestamp"].year == 2026
