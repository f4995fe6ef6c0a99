"""A store that is killed while it indexes, and one that is told to stop."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from tests.conftest import NewDatabase
from tests.fixtures_code import COMMIT, REPOSITORY, file, module
from tests.fixtures_store import execute, fake_embedder
from tests.fixtures_store_process import PATIENCE, are_running, cutting_processes, serving
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import code_service_pb2 as pb
from trimem.store.v1 import code_service_pb2_grpc as rpc

FILES = {f"m{n:03}.py": module(*(f"f{n}x{each}" for each in range(8))) for n in range(240)}


async def stream(*, ends: bool) -> AsyncIterator[pb.IndexFilesRequest]:
    """All files, and the end, or none."""
    for path, content in FILES.items():
        yield file(path, content, REPOSITORY)
    if not ends:
        await asyncio.sleep(PATIENCE)
    yield COMMIT


async def test_what_a_killed_store_has_stored_costs_nothing_the_next_time(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    async with fake_embedder() as (embedder, target):
        settings = {"DATABASE_URL": url, "EMBEDDER_TARGET": target}
        async with serving(**settings) as (process, channel):
            call = rpc.CodeServiceStub(channel).IndexFiles(stream(ends=False))
            async with asyncio.timeout(PATIENCE):
                while len(await execute(url, "SELECT FROM code_files")) < 32:
                    await asyncio.sleep(0.01)
            embedder.gate.clear()
            cutting = cutting_processes(process.pid)
            assert cutting
            process.kill()
            await process.wait()
            async with asyncio.timeout(PATIENCE):
                while are_running(cutting):
                    await asyncio.sleep(0.01)
            with pytest.raises(grpc.aio.AioRpcError):
                await call
        stored = len(await execute(url, "SELECT FROM code_files"))
        assert stored < len(FILES)
        [row] = await execute(url, "SELECT count(*) FROM code_chunks")
        assert row["count"] == 8 * stored  # files are whole
        embedder.gate.set()
        embedder.calls.clear()
        embedder.domains.clear()

        async with serving(**settings) as (_, channel):
            answer = await rpc.CodeServiceStub(channel).IndexFiles(stream(ends=True), timeout=PATIENCE)

        assert (answer.unchanged_count, answer.stored_count) == (stored, len(FILES) - stored)
        assert len(embedder.inputs(embedding_pb2.DOMAIN_CODE)) == 8 * (len(FILES) - stored) == answer.embedded_count
        assert answer.node_count > 8 * len(FILES)


async def test_a_store_that_stops_ends_a_stream_that_does_not(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)
    async with fake_embedder() as (_, target):
        settings = {"DATABASE_URL": url, "EMBEDDER_TARGET": target, "SHUTDOWN_GRACE_SECONDS": "0.3"}
        async with serving(**settings) as (process, channel):
            call = rpc.CodeServiceStub(channel).IndexFiles(stream(ends=False))
            async with asyncio.timeout(PATIENCE):
                while not await execute(url, "SELECT FROM code_files"):
                    await asyncio.sleep(0.01)
            cutting = cutting_processes(process.pid)
            assert cutting
            process.terminate()

            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call

            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert not are_running(cutting)
        assert len(await execute(url, "SELECT FROM code_files")) >= 1


async def test_a_file_that_takes_its_parser_gigabytes_is_in_the_way_of_no_other(new_database: NewDatabase) -> None:
    url = await new_database(migrated=True)

    async def files() -> AsyncIterator[pb.IndexFilesRequest]:
        yield file("before.py", module("before"), REPOSITORY)
        yield file("hostile.ts", b"A<B," * 15_000)
        yield file("after.py", module("after"))
        yield COMMIT

    async with fake_embedder() as (_, target), serving(DATABASE_URL=url, EMBEDDER_TARGET=target) as (_, channel):
        code = rpc.CodeServiceStub(channel)
        answer = await code.IndexFiles(files(), timeout=PATIENCE)
        stored = (await code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY))).files

    assert (answer.stored_count, answer.failed_count) == (3, 0)
    assert {one.path: one.cut_method for one in stored} == {
        "before.py": pb.CUT_METHOD_SYNTAX,
        "hostile.ts": pb.CUT_METHOD_LINES,
        "after.py": pb.CUT_METHOD_SYNTAX,
    }
