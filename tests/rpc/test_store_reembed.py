"""Changing the model of a store that serves: what callers see of it, and what a kill does to it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg
import grpc
import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from servicekit.status import reason_of
from store.events import EmbeddingSpace, ReembedPhase
from tests.fixtures_reembed import LONG, WORDS, Changing, changing, store_texts
from tests.fixtures_store import (
    DIMENSION,
    OTHER_SPACE,
    SPACE,
    StartStore,
    StoreUnderTest,
    create_request,
    space_vector,
)
from tests.fixtures_store_process import PATIENCE, environment, serving
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc


@dataclass
class Traffic:
    """Callers that read and write, and do not take no for an answer."""

    store: StoreUnderTest
    spaces: tuple[EmbeddingSpace, ...]
    stored: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    searches: dict[str, int] = field(default_factory=dict)
    mixed: list[str] = field(default_factory=list)

    async def write(self, number: int) -> None:
        """Store, change, delete."""
        text = f"{WORDS[number % 8]} {WORDS[number // 8 % 8]} written {number}"
        created = await self.store.create(content={"text": text})
        self.stored.add(created.id)
        self.stored |= set(await store_texts(self.store, [f"{text} and {n}" for n in range(3)]))
        if number % 3 == 0:
            event = pb.Event(id=created.id)
            event.content.update({"text": f"changing {text}"})
            await self.store.stub.UpdateEvent(
                pb.UpdateEventRequest(event=event, update_mask=FieldMask(paths=["content"]))
            )
        if number % 5 == 0:
            await self.store.stub.DeleteEvent(pb.DeleteEventRequest(id=created.id))
            self.deleted.add(created.id)

    async def stream(self, number: int) -> None:
        """Import, a few messages of a few events."""
        events = {str(uuid4()): f"{WORDS[number % 8]} streamed {number} {n}" for n in range(12)}
        requests = [create_request(id=identity, content={"text": text}) for identity, text in events.items()]
        messages = [pb.ImportEventsRequest(requests=requests[start : start + 4]) for start in (0, 4, 8)]
        answer = await self.store.stub.ImportEvents(iter(messages))
        assert (answer.stored_count, answer.failed_count) == (12, 0), answer
        self.stored |= set(events)

    async def search(self, number: int) -> None:
        """Look for something, and see that all similarities are of one and the same model."""
        query = f"{WORDS[number % 8]} {WORDS[number * 3 % 8]}"
        request = pb.SearchEventsRequest(query=query, mode=pb.SEARCH_MODE_VECTOR, page_size=20)
        hits = [
            (hit.event.content["text"], hit.similarity)
            for hit in (await self.store.stub.SearchEvents(request)).hits
            if not str(hit.event.content["text"]).startswith("changing")  # between its search and its reading
        ]
        fitting = [
            space.model_name
            for space in self.spaces
            if all(abs(_similarity(space, query, str(text)) - said) < 1e-4 for text, said in hits)
        ]
        if not hits or not fitting:
            self.mixed.append(f"{query}: {hits}")
        answer = await self.store.stub.SearchEvents(pb.SearchEventsRequest(query=query))
        assert not answer.degraded
        for name in fitting:
            self.searches[name] = self.searches.get(name, 0) + 1


def _similarity(space: EmbeddingSpace, query: str, text: str) -> float:
    return float(np.dot(space_vector(space, query), space_vector(space, text)))


async def _again(act: Callable[[int], Awaitable[None]], stop: asyncio.Event) -> int:
    number = 0
    while not stop.is_set():
        await act(number)
        number += 1
        await asyncio.sleep(0.05)  # the change runs in this process, too
    return number


@pytest.mark.parametrize("space", [LONG, OTHER_SPACE], ids=["another dimension", "the same dimension"])
async def test_no_call_fails_and_no_result_is_mixed_while_the_model_changes_back_and_forth(
    start_store: StartStore, space: EmbeddingSpace
) -> None:
    async with changing(start_store, space) as change:
        store = change.store
        before = {row["id"] for row in await store.rows("SELECT id FROM events")}
        traffic = Traffic(store, (SPACE, space))
        stop = asyncio.Event()
        backfill = asyncio.create_task(store.backfill.run())
        callers = [asyncio.create_task(_again(act, stop)) for act in (traffic.write, traffic.stream, traffic.search)]
        try:
            assert await change.reembed() is ReembedPhase.SWAPPED
            await change.roll_back()
            assert await change.reembed() is ReembedPhase.SWAPPED
        finally:
            stop.set()
            turns = await asyncio.gather(*callers)  # raises what a call failed with
        try:
            async with asyncio.timeout(PATIENCE):
                while await store.rows("SELECT FROM events WHERE embedding_state <> 'EMBEDDED'"):
                    await asyncio.sleep(0.02)
        finally:
            backfill.cancel()
            await asyncio.wait([backfill])

        assert all(turn > 3 for turn in turns)
        assert traffic.mixed == []
        assert set(traffic.searches) == {SPACE.model_name, space.model_name}
        kept = {str(row["id"]) for row in await store.rows("SELECT id FROM events")}
        assert kept == {str(one) for one in before} | traffic.stored - traffic.deleted
        assert await change.wrong_vectors(space) == []


async def test_searches_are_right_before_during_and_after(start_store: StartStore) -> None:
    async with changing(start_store) as change:
        traffic = Traffic(change.store, (SPACE, LONG))
        await traffic.search(1)
        assert traffic.searches == {SPACE.model_name: 1}

        assert await change.reembed(swap=False) is ReembedPhase.READY
        await traffic.search(1)
        assert traffic.searches == {SPACE.model_name: 2}

        await change.reembed()
        await traffic.search(1)
        assert traffic.searches == {SPACE.model_name: 2, LONG.model_name: 1}
        vector = pb.SearchEventsRequest(mode=pb.SEARCH_MODE_VECTOR)
        vector.vector.values.extend(space_vector(LONG, "apple").tolist())
        assert (await change.store.stub.SearchEvents(vector)).hits
        assert traffic.mixed == []


async def test_the_wrong_embedder_is_refused_with_the_command_to_run(start_store: StartStore) -> None:
    store = await start_store()
    await store.create(content={"text": "old"})
    for space in (OTHER_SPACE, LONG):
        store.embedder.space = space

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await store.create(content={"text": "new"})

        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason_of(caught.value) == "EMBEDDING_SPACE_MISMATCH"
        assert "`python -m store reembed --embedder HOST:PORT`" in (caught.value.details() or "")


async def test_a_store_waits_for_the_right_one_of_two_embedders(start_store: StartStore) -> None:
    async with changing(start_store) as change:
        change.store.embedder.go_down()

        created = await change.store.create(content={"text": "late"})

        assert created.embedding_state == pb.EMBEDDING_STATE_PENDING


async def test_a_store_that_restarts_after_the_change_comes_up_with_its_old_settings(start_store: StartStore) -> None:
    async with changing(start_store) as change:
        await change.reembed()

        async with serving(
            DATABASE_URL=change.store.database_url,
            EMBEDDER_TARGET=change.first_target,
            EMBEDDER_NEXT_TARGET=change.next_target,
            EMBEDDING_DIMENSION=str(DIMENSION),
        ) as (_, channel):
            stub = rpc.EventServiceStub(channel)
            created = await stub.CreateEvent(create_request(content={"text": "after the restart"}))
            found = await stub.SearchEvents(pb.SearchEventsRequest(query="after the restart"))

        assert created.event.embedding_state == pb.EMBEDDING_STATE_EMBEDDED
        assert found.hits[0].event.id == created.event.id
        assert await change.wrong_vectors(LONG) == []


async def test_the_command_tells_what_it_would_do_does_it_and_tidies_up(start_store: StartStore) -> None:
    async with changing(start_store) as change:
        _, planned, _ = await change.command("--embedder", change.next_target, "--dry-run", "--json")
        assert json.loads(planned)["next_model"] == LONG.describe()
        code, done, errors = await change.command("--embedder", change.next_target, "--batch", "10")
        assert code == 0, errors
        assert "phase: SWAPPED" in done
        assert f"EMBEDDING_DIMENSION={LONG.dimension}" in done.replace("\n", " ")
        _, status, _ = await change.command("--status", "--json")
        told = json.loads(status)
        assert (told["phase"], told["events_embedded"], told["events_missing"]) == ("SWAPPED", 80, 0)

        assert (await change.command("--rollback", "--embedder", change.first_target))[0] == 0
        assert await change.wrong_vectors(SPACE) == []
        assert (await change.command("--abandon"))[0] == 0
        code, _, errors = await change.command("--drop-old")
        assert (code, "no old vectors to drop" in errors) == (1, True)


@asynccontextmanager
async def command(change: Changing, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m store reembed`, killed at the end of the block with the harshest signal."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "store", "reembed", "--embedder", change.next_target, "--json", *arguments,
        env=environment(DATABASE_URL=change.store.database_url),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def until(change: Changing, condition: str) -> None:
    """Wait until the job is so far, in SQL."""
    async with asyncio.timeout(PATIENCE):
        while not await change.store.rows(f"SELECT FROM reembed_job WHERE {condition}"):
            await asyncio.sleep(0.02)


async def test_it_goes_on_after_kills_in_each_of_its_phases(start_store: StartStore) -> None:
    async with changing(start_store) as change:
        async with command(change, "--batch", "4", "--rate", "5"):
            await until(change, "phase = 'FILLING' AND position_id IS NOT NULL")
            code, _, errors = await change.command("--embedder", change.next_target)
            assert (code, "another `python -m store reembed` works" in errors) == (1, True)
        [[filled]] = await change.store.rows("SELECT count(*) FROM events WHERE embedding_next IS NOT NULL")
        assert 0 < filled < 80
        await store_texts(change.store, ["written after the first kill"])

        holder = await asyncpg.connect(change.store.database_url)
        try:
            # An index is built once all are done who wrote to the table, here a partition, before.
            [[partition]] = await change.store.rows("SELECT tableoid::regclass::text FROM events LIMIT 1")
            await holder.execute(f"BEGIN; INSERT INTO {partition} (id, content) VALUES (gen_random_uuid(), '{{}}')")
            async with command(change, "--batch", "10"):
                await until(change, "phase = 'INDEXING'")
                async with asyncio.timeout(PATIENCE):
                    while not await change.store.rows("SELECT FROM pg_stat_progress_create_index"):
                        await asyncio.sleep(0.02)
            await holder.execute("ROLLBACK")
            await store_texts(change.store, ["written after the second kill"])

            assert (await change.command("--embedder", change.next_target, "--no-swap"))[0] == 0
            await holder.execute("BEGIN; SELECT count(*) FROM events")
            async with command(change), asyncio.timeout(PATIENCE):
                while not await change.store.rows(
                    "SELECT FROM pg_locks WHERE relation = 'events'::regclass AND mode = 'AccessExclusiveLock'"
                ):
                    await asyncio.sleep(0.01)
            await holder.execute("ROLLBACK")
        finally:
            await holder.close()
        await store_texts(change.store, ["written after the third kill"])
        assert await change.wrong_vectors(SPACE) == []

        code, _, errors = await change.command("--embedder", change.next_target)

        assert code == 0, errors
        assert await change.wrong_vectors(LONG) == []
        rows = await change.store.rows("SELECT embedding_state, count(*) FROM events GROUP BY 1")
        assert [tuple(row) for row in rows] == [("EMBEDDED", 83)]
