"""Which times events may have, and for how long: through the API, and by a store that runs."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import grpc
import pytest

from store.wiring import Repositories
from tests.conftest import NewDatabase
from tests.fixtures_partitions import OLD_TIME, names
from tests.fixtures_store import (
    SPACE,
    StartStore,
    create_request,
    execute,
    new_event,
    open_database,
)
from tests.fixtures_store_process import PATIENCE, free_port, serving
from trimem.store.v1 import event_service_pb2 as pb


def at(time: str) -> pb.CreateEventRequest:
    return create_request(content={"text": time}, timestamp=time)


async def test_an_event_in_one_month_too_many_fails_alone_and_names_its_timestamp(start_store: StartStore) -> None:
    store = await start_store(events_max_partitions=7)  # five are there already
    times = ["2001-01-01T00:00:00Z", "2001-02-01T00:00:00Z", "2001-03-01T00:00:00Z", "2001-03-02T00:00:00Z"]

    response = await store.stub.BatchCreateEvents(pb.BatchCreateEventsRequest(requests=[at(time) for time in times]))

    refused = [result.error for result in response.results if result.HasField("error")]
    stored = [result.event for result in response.results if result.HasField("event")]
    assert {error.code for error in refused} == {grpc.StatusCode.INVALID_ARGUMENT.value[0]}
    assert all(error.message.startswith("event.timestamp: ") for error in refused)
    assert len(stored) + len(refused) == 4
    assert len({event.timestamp.ToDatetime().month for event in stored}) == 2
    assert len(await store.rows("SELECT FROM events")) == len(stored)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.stub.CreateEvent(at("2009-09-09T00:00:00Z"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "EVENTS_MAX_PARTITIONS" in str(caught.value.details())


async def test_an_event_older_than_what_is_kept_is_refused_by_its_timestamp(start_store: StartStore) -> None:
    store = await start_store(events_retention_months=2)
    now = datetime.now(UTC)

    await store.stub.CreateEvent(at((now - timedelta(days=31)).isoformat()))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.stub.CreateEvent(at((now - timedelta(days=93)).isoformat()))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith("event.timestamp: ")
    assert len(await store.rows("SELECT FROM events")) == 1


async def test_a_running_store_makes_months_and_drops_those_that_are_not_kept(new_database: NewDatabase) -> None:
    url, port = await new_database(migrated=True), free_port()
    async with open_database(url) as database:
        await Repositories.of_postgres(database).events.create(
            [new_event(timestamp=OLD_TIME), new_event(timestamp=datetime.now(UTC))], SPACE
        )
        options = {"EVENTS_PARTITIONS_AHEAD": "7", "EVENTS_RETENTION_MONTHS": "24", "STORE_METRICS_PORT": str(port)}
        async with serving(DATABASE_URL=url, EMBEDDER_TARGET="127.0.0.1:1", **options):
            async with asyncio.timeout(PATIENCE):
                while "events_y2024m05" in await names(database) or len(await names(database)) < 8:
                    await asyncio.sleep(0.05)
                while 'trimem_store_partition_rows{partition="events_y2' not in await metrics(port):
                    await asyncio.sleep(0.05)
    assert len(await execute(url, "SELECT FROM events")) == 1


async def metrics(port: int) -> str:
    """What the store exports."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return await answer.text()
