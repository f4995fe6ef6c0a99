"""`python -m store` as a process: what it needs to start, what it says otherwise, and how it ends."""

import asyncio
import signal
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.status import reason_of
from store import migrate
from store.repositories.postgres.outbox import PostgresOutbox
from tests.conftest import NewDatabase
from tests.fixtures_store import (
    DIMENSION,
    SPACE,
    create_request,
    execute,
    fake_embedder,
    open_database,
    text_vector,
)
from tests.fixtures_store_process import (
    NOT_SERVING,
    PATIENCE,
    SERVING,
    environment,
    free_port,
    run,
    serving,
    until_health,
)
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc
from trimem.store.v1 import store_admin_pb2 as admin
from trimem.store.v1 import store_admin_pb2_grpc as admin_rpc


class Relay:
    """Stands between a store and its database, and can be cut."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = free_port()

    @property
    def url(self) -> str:
        """The database through the relay."""
        user = self._target.netloc.rpartition("@")[0]
        return urlunsplit(self._target._replace(netloc=f"{user}@127.0.0.1:{self._port}", query=""))

    async def connect(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)

    async def cut(self) -> None:
        """Break all connections and take no more."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        directory = parse_qs(self._target.query).get("host")
        if directory:
            far_reader, far_writer = await asyncio.open_unix_connection(f"{directory[0]}/.s.PGSQL.5432")
        else:
            far_reader, far_writer = await asyncio.open_connection(self._target.hostname, self._target.port or 5432)
        self._writers |= {writer, far_writer}
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        self._writers -= {writer, far_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def test_it_serves_without_an_embedder_and_ends_on_sigterm(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    async with serving(DATABASE_URL=url, EMBEDDER_TARGET="127.0.0.1:1") as (process, channel):
        answer = await rpc.EventServiceStub(channel).CreateEvent(create_request(content={"text": "x"}))
        assert answer.event.embedding_state == pb.EMBEDDING_STATE_PENDING

        process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_it_embeds_what_waits_once_it_runs(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    await execute(
        url,
        "WITH old AS (INSERT INTO events (id, content) VALUES (gen_random_uuid(), $1::text::jsonb) RETURNING *) "
        "INSERT INTO event_keys (event_id, timestamp) SELECT id, timestamp FROM old",
        '{"text": "red apple"}',
    )
    async with fake_embedder() as (_, target), serving(DATABASE_URL=url, EMBEDDER_TARGET=target) as (_, channel):
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await rpc.EventServiceStub(channel).SearchEvents(pb.SearchEventsRequest(query="red apple"))
                if answer.hits:
                    break
                await asyncio.sleep(0.02)

    assert answer.hits[0].event.content["text"] == "red apple"


async def test_the_events_that_a_killed_store_was_embedding_are_free_at_once(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    await execute(url, "INSERT INTO events (id, content) VALUES (gen_random_uuid(), $1::text::jsonb)", '{"text": "x"}')
    async with fake_embedder() as (embedder, target), open_database(url) as database:
        outbox = PostgresOutbox(database)
        embedder.gate.clear()  # the store waits for an answer with the event in its hands
        async with serving(DATABASE_URL=url, EMBEDDER_TARGET=target) as (process, _):
            async with asyncio.timeout(PATIENCE):
                while not embedder.calls:
                    await asyncio.sleep(0.01)
            assert await claimable(outbox) == 0

            process.kill()

            async with asyncio.timeout(PATIENCE):
                while not await claimable(outbox):
                    await asyncio.sleep(0.01)
        embedder.gate.set()


async def claimable(outbox: PostgresOutbox) -> int:
    """How many events nobody holds."""
    async with outbox.claim(10) as claim:
        return len(claim.events)


async def test_it_serves_its_administration_and_its_metrics(new_database: NewDatabase) -> None:
    url, port = await new_database(migrated=True), free_port()
    async with serving(DATABASE_URL=url, EMBEDDER_TARGET="127.0.0.1:1", STORE_METRICS_PORT=str(port)) as (_, channel):
        health: Any = health_pb2_grpc.HealthStub(channel)
        name = "trimem.store.v1.StoreAdminService"
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
        await rpc.EventServiceStub(channel).CreateEvent(create_request(content={"text": "x"}))
        status = await admin_rpc.StoreAdminServiceStub(channel).GetStatus(admin.GetStatusRequest())
        assert (status.pending_count, status.pool.max_count) == (1, 10)
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = await answer.text()

    for name in (
        "trimem_store_pending_events",
        "trimem_store_failed_events",
        "trimem_store_oldest_pending_seconds",
        "trimem_store_events_without_words",
        "trimem_store_failed_embedding_attempts_total",
        'trimem_store_backfill_batches_total{outcome="waiting"}',
        'trimem_store_pool_connections{state="max"} 10.0',
    ):
        assert f"\n{name}" in metrics


async def test_an_embedder_that_goes_away_and_comes_back_needs_no_restart(new_database: NewDatabase) -> None:
    url, port = await new_database(migrated=True), free_port()
    async with serving(DATABASE_URL=url, EMBEDDER_TARGET=f"127.0.0.1:{port}") as (_, channel):
        stub = rpc.EventServiceStub(channel)
        async with fake_embedder(port):
            await until_state(stub, pb.EMBEDDING_STATE_EMBEDDED, {"text": "before"})
        lost = await until_state(stub, pb.EMBEDDING_STATE_PENDING, {"text": "meanwhile"})
        async with fake_embedder(port), asyncio.timeout(PATIENCE):
            while lost.embedding_state == pb.EMBEDDING_STATE_PENDING:
                await asyncio.sleep(0.05)
                lost = (await stub.GetEvent(pb.GetEventRequest(id=lost.id))).event

    assert lost.embedding_state == pb.EMBEDDING_STATE_EMBEDDED


async def until_state(stub: "rpc.EventServiceAsyncStub", state: int, content: dict[str, str]) -> pb.Event:
    """Store events until one comes out so: connections need a moment to be made, and to be lost."""
    async with asyncio.timeout(PATIENCE):
        while True:
            event = (await stub.CreateEvent(create_request(content=content))).event
            if event.embedding_state == state:
                return event
            await asyncio.sleep(0.05)


async def test_the_url_of_the_monolith_is_understood(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    sqlalchemy_url = url.replace("postgresql://", "postgresql+asyncpg://")

    code, _, errors = await run("migrate", "--check", DATABASE_URL=sqlalchemy_url)

    assert code == 0, errors


async def test_a_database_that_is_not_migrated_is_refused_with_the_command_to_run(new_database: NewDatabase) -> None:
    code, _, errors = await run(DATABASE_URL=await new_database(), STORE_PORT="0")

    assert code == 1
    assert errors.splitlines()[-1] == (
        f"store: the database is not set up, this version of the store needs revision {migrate.head()}: "
        "run `python -m store migrate`"
    )


async def test_another_dimension_is_refused_with_both_numbers(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)

    code, _, errors = await run(DATABASE_URL=url, STORE_PORT="0", EMBEDDING_DIMENSION="384")

    assert code == 1
    assert f"keeps vectors of {DIMENSION} dimensions and EMBEDDING_DIMENSION is 384" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [[], ["migrate"], ["adopt-space"], ["status"], ["backfill", "pause"]],
    ids=["serve", "migrate", "adopt-space", "status", "backfill"],
)
async def test_a_database_that_does_not_answer_is_one_clear_line_without_the_password(command: list[str]) -> None:
    code, _, errors = await run(*command, DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/none", STORE_PORT="0")

    assert code == 1
    assert "the database of DATABASE_URL cannot be reached" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert "hunter2" not in errors


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me:hunter2@localhost/x", "DATABASE_URL: must begin with postgresql://"),
        ("postgresql://me:hunter2@localhost:port/x", "DATABASE_URL"),
    ],
)
async def test_a_wrong_url_is_a_wrong_setting(url: str, said: str) -> None:
    code, _, errors = await run(DATABASE_URL=url)

    assert code == 2
    assert said in errors
    assert "hunter2" not in errors


async def test_a_missing_url_is_a_wrong_setting() -> None:
    variables = {key: value for key, value in environment().items() if key != "DATABASE_URL"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "store", env=variables, cwd="/", stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)

    assert process.returncode == 2
    assert b"DATABASE_URL" in errors


async def test_migrate_goes_up_checks_and_goes_down(new_database: NewDatabase) -> None:
    url = await new_database()

    assert (await run("migrate", "--check", DATABASE_URL=url))[0] == 1
    assert (await run("migrate", DATABASE_URL=url))[0] == 0
    assert (await run("migrate", "--check", DATABASE_URL=url))[0] == 0
    assert (await run("migrate", "--down", "--revision", "0001", DATABASE_URL=url))[0] == 0
    assert [row[0] for row in await execute(url, "SELECT version_num FROM alembic_version")] == ["0001"]
    code, _, errors = await run("migrate", "--down", "--revision", "base", DATABASE_URL=url)
    assert code == 1
    assert "the baseline cannot be undone" in errors.splitlines()[-1]
    code, _, errors = await run("migrate", "--revision", "0815", DATABASE_URL=url)
    assert code == 1
    assert "0815" in errors.splitlines()[-1]


async def test_adopt_space_records_the_model_of_old_vectors(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    await execute(
        url,
        "INSERT INTO events (id, content, embedding, embedding_state) "
        "VALUES (gen_random_uuid(), '{\"text\": \"red apple\"}', $1::text::vector, 'EMBEDDED')",
        str(text_vector("red apple").tolist()),
    )
    async with fake_embedder() as (_, target):
        first = await run("adopt-space", DATABASE_URL=url, EMBEDDER_TARGET=target)
        second = await run("adopt-space", DATABASE_URL=url, EMBEDDER_TARGET=target)

    assert first[0] == second[0] == 0
    assert first[1].startswith(f"recorded: {SPACE.describe()}; 1 vectors compared, median cosine 1.0000")
    assert second[1].startswith("recorded already")


async def test_help_names_commands_and_variables() -> None:
    code, output, _ = await run("--help")

    assert code == 0
    for name in (
        "migrate",
        "adopt-space",
        "status",
        "backfill",
        "DATABASE_URL",
        "EMBEDDING_FAIL_STRATEGY",
        "STORE_PORT",
    ):
        assert name in output


async def test_a_database_that_goes_away_and_comes_back_needs_no_restart(new_database: NewDatabase) -> None:
    relay = Relay(await new_database(migrated=True))
    await relay.connect()
    async with fake_embedder() as (_, target), serving(DATABASE_URL=relay.url, EMBEDDER_TARGET=target) as (_, channel):
        stub = rpc.EventServiceStub(channel)
        event = (await stub.CreateEvent(create_request(content={"text": "before"}))).event

        await relay.cut()
        await until_health(channel, NOT_SERVING)
        for call in (
            stub.CreateEvent(create_request(content={"text": "lost"}, request_id="r")),
            stub.GetEvent(pb.GetEventRequest(id=event.id)),
            stub.ListEvents(pb.ListEventsRequest()),
            stub.SearchEvents(pb.SearchEventsRequest(query="before")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert reason_of(caught.value) == "DATABASE_UNAVAILABLE"
            assert relay.url not in (caught.value.details() or "")

        await relay.connect()
        await until_health(channel, SERVING)
        assert (await stub.GetEvent(pb.GetEventRequest(id=event.id))).event == event
        again = await stub.CreateEvent(create_request(content={"text": "lost"}, request_id="r"))
        assert again.event.embedding_state == pb.EMBEDDING_STATE_EMBEDDED
    await relay.cut()
