"""`python -m store status` and `backfill`: for operators, also while no store runs."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from store import migrate
from tests.conftest import NewDatabase
from tests.fixtures_store import SPACE, execute, open_database
from tests.fixtures_store_process import run


async def filled(new_database: NewDatabase) -> str:
    """A database with a pending and two failed events, and a model."""
    url = await new_database(migrated=True)
    await execute(
        url,
        "INSERT INTO events (id, content, embedding_state, embedding_error) VALUES "
        "(gen_random_uuid(), '{\"text\": \"late\"}', 'PENDING', NULL), "
        "(gen_random_uuid(), '{\"text\": \"odd\"}', 'FAILED', 'is odd'), "
        "(gen_random_uuid(), '{\"text\": \"odd too\"}', 'FAILED', 'is odd')",
    )
    await execute(
        url,
        "INSERT INTO embedding_spaces (column_name, model_name, revision, dimension, fingerprint) "
        "VALUES ('events.embedding', $1, '', $2, $3)",
        SPACE.model_name,
        SPACE.dimension,
        SPACE.fingerprint,
    )
    await execute(url, "ANALYZE events")
    return url


@asynccontextmanager
async def connected_stores(url: str) -> AsyncIterator[None]:
    """Two connections of one store, one of them inside of a transaction, and an idle one of another."""
    async with open_database(url) as one, open_database(url), one.connection(), one.transaction():
        yield


async def test_status_is_json_with_the_fields_of_the_api(new_database: NewDatabase) -> None:
    url = await filled(new_database)

    async with connected_stores(url):
        code, output, errors = await run("status", "--json", DATABASE_URL=url)

    assert code == 0, errors
    document = json.loads(output)
    assert document["connections"] == {"open": 3, "busy": 1, "idle": 2}
    assert "pool" not in document
    assert document["migration_revision"] == migrate.head()
    assert (document["event_count"], document["pending_count"], document["failed_count"]) == (3, 1, 2)
    assert document["backfill_paused"] is False
    assert document["oldest_pending_time"].startswith("20")
    assert [one["model_name"] for one in document["spaces"]] == [SPACE.model_name]
    assert sum(one["row_count"] for one in document["partitions"]) == 3
    assert {"name", "start_time", "end_time", "row_count", "bytes"} == set(document["partitions"][0])
    assert {"name": "event_keys_pkey", "table": "event_keys", "valid": True}.items() <= next(
        one for one in document["indexes"] if one["name"] == "event_keys_pkey"
    ).items()


async def test_status_is_tables_for_people(new_database: NewDatabase) -> None:
    url = await filled(new_database)
    assert (await run("backfill", "pause", DATABASE_URL=url))[0] == 0

    async with connected_stores(url):
        code, output, errors = await run("status", DATABASE_URL=url, COLUMNS="160")

    assert code == 0, errors
    for part in (
        "about 3 events, 1 pending (the oldest since 20",
        "2 failed",
        "the backfill is paused",
        "connections of running stores: 3 open, 1 busy, 2 idle",
        "backfill retry",
        SPACE.model_name,
        SPACE.fingerprint[:12],
        "ix_events_embedding",
        migrate.head(),
    ):
        assert part in output


async def test_status_needs_no_right_dimension(new_database: NewDatabase) -> None:
    code, _, errors = await run(
        "status", "--json", DATABASE_URL=await new_database(migrated=True), EMBEDDING_DIMENSION="77"
    )

    assert code == 0, errors


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["backfill", "retry"]], ids=" ".join)
async def test_a_database_of_another_revision_is_one_clear_line(new_database: NewDatabase, command: list[str]) -> None:
    code, output, errors = await run(*command, DATABASE_URL=await new_database())

    assert (code, output) == (1, "")
    assert errors.splitlines()[-1].startswith(
        f"store: the database is not set up, this version of the store needs revision {migrate.head()}"
    )


async def test_backfill_pauses_resumes_and_retries(new_database: NewDatabase) -> None:
    url = await filled(new_database)
    [row, _] = await execute(url, "SELECT id FROM events WHERE embedding_state = 'FAILED'")

    answers = [
        await run("backfill", *arguments, DATABASE_URL=url)
        for arguments in (("pause",), ("resume",), ("retry", str(row["id"])), ("retry",), ("retry", "no uuid"))
    ]

    assert [code for code, _, _ in answers] == [0, 0, 0, 0, 1]
    assert [output.split(";")[0].strip() for _, output, _ in answers[:4]] == [
        "paused",
        "resumed",
        "PENDING again: 1",
        "PENDING again: 1",
    ]
    assert "ids[0]: must be a UUID" in answers[4][2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status", "--help"), "python -m store status --json | jq"),
        (("backfill", "--help"), "python -m store backfill pause"),
        (("backfill", "retry", "--help"), "at most 1000 events"),
    ],
)
async def test_help_has_examples(arguments: tuple[str, ...], said: str) -> None:
    code, output, _ = await run(*arguments)

    assert code == 0
    assert said in output
