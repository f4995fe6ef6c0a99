"""IndexFiles when something is in the way: the embedder, the database, other calls, the caller's own end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import grpc
import pytest
from google.rpc import error_details_pb2

from servicekit.errors import InternalError, ResourceExhaustedError
from servicekit.status import reason_of, status_of
from tests.fixtures_code import COMMIT, REPOSITORY, embedded, file, index, module, paths
from tests.fixtures_store import OTHER_SPACE, StartStore, StoreUnderTest
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import code_service_pb2 as pb

#: Guards against hanging; nothing here takes long.
PATIENCE = 30


def settled_count(error: grpc.aio.AioRpcError) -> int:
    """What an error says about how far the call got."""
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status_of(error).details)
    return int(info.metadata["settled_count"])


def many(count: int, first: int = 0) -> dict[str, str]:
    """Files of eight chunks each."""
    return {f"m{n:03}.py": module(*(f"f{n}x{each}" for each in range(8))) for n in range(first, first + count)}


def messages(files: dict[str, str]) -> Iterator[pb.IndexFilesRequest]:
    """A stream of files without an end of its own."""
    for path, content in files.items():
        yield file(path, content, REPOSITORY)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.02)


async def is_asked(store: StoreUnderTest) -> bool:
    """Whether the embedder has been."""
    return bool(store.embedder.calls)


async def is_free(store: StoreUnderTest, path: str) -> bool:
    """Whether a call may index the repository."""
    try:
        await index(store, {path: module("free")})
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.ABORTED:
            raise
        return False
    return True


async def test_texts_of_many_files_are_embedded_together_by_both_models_at_once(store: StoreUnderTest) -> None:
    store.embedder.gate.clear()
    call = asyncio.create_task(index(store, many(64), COMMIT))

    async def both_asked() -> bool:
        return len(store.embedder.calls) == 2

    await until(both_asked)
    assert set(store.embedder.domains) == {embedding_pb2.DOMAIN_TEXT, embedding_pb2.DOMAIN_CODE}
    store.embedder.gate.set()
    answer = await call

    assert answer.embedded_count == 512
    assert [len(texts) for texts in store.embedder.calls] == [64] * 16


async def test_an_embedder_that_is_down_stops_the_call_and_what_is_stored_stays(store: StoreUnderTest) -> None:
    await index(store, {"before.py": module("before")}, COMMIT)
    store.embedder.go_down()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await index(store, {"before.py": module("before"), "new.py": module("new")}, COMMIT)

    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "EMBEDDER_UNAVAILABLE")
    assert settled_count(caught.value) == 0
    assert await paths(store) == ["before.py"]
    assert (await index(store, {"before.py": module("before")}, COMMIT)).unchanged_count == 1  # needs no embedder
    store.embedder.come_back()
    assert (await index(store, {"before.py": module("before"), "new.py": module("new")}, COMMIT)).stored_count == 1


async def test_what_was_stored_before_a_failure_costs_nothing_the_next_time(store: StoreUnderTest) -> None:
    files = many(100)

    async def broken() -> AsyncIterator[pb.IndexFilesRequest]:
        for one in messages(files):
            yield one
        yield file("x.py", "x = 1\n", "another")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.code.IndexFiles(broken())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    kept = settled_count(caught.value)
    assert len(await paths(store)) == kept
    embedded(store)

    answer = await index(store, files, COMMIT)

    assert (answer.unchanged_count, answer.stored_count) == (kept, 100 - kept)
    texts, codes = embedded(store)
    assert len(texts) == len(codes) == 8 * (100 - kept)


@pytest.mark.parametrize("names_refused", [True, False])
async def test_a_chunk_that_a_model_refuses_is_stored_without_vectors(
    store: StoreUnderTest, names_refused: bool
) -> None:
    await index(store, {"a.py": module("good", "odd")})
    _, codes = embedded(store)
    await store.code.DeleteRepository(pb.DeleteRepositoryRequest(repository=REPOSITORY))
    store.embedder.names_refused = names_refused
    store.embedder.refused = {text for text in codes if "odd_0" in text}

    answer = await index(store, {"a.py": module("good", "odd")}, COMMIT)

    assert (answer.stored_count, answer.chunk_count, answer.embedded_count) == (1, 2, 1)
    [result] = answer.results
    assert not result.HasField("error")
    assert result.note == "1 of 2 chunks without vectors: the embedder refuses the text: is odd"
    rows = await store.rows(
        "SELECT name, embedding_error, embedding_text IS NULL AS bare FROM code_chunks ORDER BY name"
    )
    assert [tuple(row) for row in rows] == [
        ("good", None, False), ("odd", "the embedder refuses the text: is odd", True),
    ]  # fmt: skip
    store.embedder.refused = set()
    again = await index(store, {"a.py": module("good", "odd", "more")}, COMMIT)
    assert (again.embedded_count, len(again.results)) == (2, 0)  # the one that is new, and the one that had none


async def test_a_text_that_makes_the_embedder_fail_costs_its_own_vectors_only(store: StoreUnderTest) -> None:
    await index(store, many(2))
    _, codes = embedded(store)
    await store.code.DeleteRepository(pb.DeleteRepositoryRequest(repository=REPOSITORY))
    store.embedder.poison = {text for text in codes if "f1x3_0" in text}

    answer = await index(store, many(2), COMMIT)

    assert (answer.stored_count, answer.chunk_count, answer.embedded_count) == (2, 16, 15)
    [result] = answer.results
    assert result.note == "1 of 8 chunks without vectors: the embedder failed"


async def test_an_embedder_that_always_fails_stops_the_call(store: StoreUnderTest) -> None:
    store.embedder.trouble = InternalError()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await index(store, many(1), COMMIT)

    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "EMBEDDER_FAILED")
    assert await paths(store) == []


async def test_an_embedder_with_too_much_to_do_is_asked_again(store: StoreUnderTest) -> None:
    store.embedder.trouble = ResourceExhaustedError("busy", retry_after=0.05)
    call = asyncio.create_task(index(store, many(1), COMMIT))

    async def was_asked() -> bool:
        return len(store.embedder.calls) >= 2

    await until(was_asked)
    store.embedder.come_back()

    assert (await call).embedded_count == 8


@pytest.mark.parametrize("domain", ["space", "code_space"])
async def test_vectors_of_another_model_are_refused_for_each_column(store: StoreUnderTest, domain: str) -> None:
    await index(store, {"a.py": module("a")}, COMMIT)
    setattr(store.embedder, domain, OTHER_SPACE)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await index(store, {"a.py": module("a"), "b.py": module("b")}, COMMIT)

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(caught.value) == "EMBEDDING_SPACE_MISMATCH"
    assert "python -m store forget-code" in (caught.value.details() or "")
    assert ("CODE_EMBEDDING_MODEL" in (caught.value.details() or "")) == (domain == "code_space")
    assert await paths(store) == ["a.py"]
    # Known vectors beside new ones of another model, in one file.
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await index(store, {"a.py": module("a", "b")}, COMMIT)
    assert reason_of(caught.value) == "EMBEDDING_SPACE_MISMATCH"


async def test_one_call_at_a_time_indexes_a_repository(store: StoreUnderTest) -> None:
    await index(store, {"a.py": ""}, COMMIT)
    store.embedder.gate.clear()
    first = asyncio.create_task(index(store, {"a.py": module("a")}, COMMIT))
    await until(lambda: is_asked(store))
    for call in (
        index(store, {"b.py": ""}, COMMIT),
        store.code.DeleteRepository(pb.DeleteRepositoryRequest(repository=REPOSITORY)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.ABORTED
    other = asyncio.create_task(index(store, {"c.py": ""}, COMMIT, repository="other"))
    assert (await other).stored_count == 1
    store.embedder.gate.set()

    assert (await first).stored_count == 1
    assert await paths(store) == ["a.py"]
    assert (await index(store, {"b.py": ""}, COMMIT)).deleted_count == 1  # the right is free again, at once


async def test_so_many_calls_index_and_no_more(start_store: StartStore) -> None:
    store = await start_store(code_max_indexings=1)
    store.embedder.gate.clear()
    first = asyncio.create_task(index(store, {"a.py": module("a")}, COMMIT))
    await until(lambda: is_asked(store))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await index(store, {"b.py": ""}, COMMIT, repository="other")
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    store.embedder.gate.set()
    await first
    assert (await index(store, {"b.py": ""}, COMMIT, repository="other")).stored_count == 1


async def test_deleting_takes_a_place_of_indexing_and_an_unknown_repository_none(start_store: StartStore) -> None:
    store = await start_store(code_max_indexings=1)
    await index(store, {"b.py": ""}, COMMIT, repository="other")
    store.embedder.gate.clear()
    first = asyncio.create_task(index(store, {"a.py": module("a")}, COMMIT))
    await until(lambda: is_asked(store))
    codes = []
    for name in ("other", "unknown"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await store.code.DeleteRepository(pb.DeleteRepositoryRequest(repository=name))
        codes.append(caught.value.code())
    assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND]
    store.embedder.gate.set()
    await first
    deleted = await store.code.DeleteRepository(pb.DeleteRepositoryRequest(repository="other"))
    assert deleted.file_count == 1


async def test_calls_that_say_nothing_keep_nobody_out(start_store: StartStore) -> None:
    store = await start_store(code_max_indexings=1)
    silent = store.code.IndexFiles()
    await silent.wait_for_connection()
    assert (await index(store, {"a.py": ""}, COMMIT)).stored_count == 1
    silent.cancel()


async def test_a_caller_that_goes_leaves_no_lock_and_commits_nothing(store: StoreUnderTest) -> None:
    await index(store, {"old.py": module("old")}, COMMIT)
    store.embedder.gate.clear()

    async def endless() -> AsyncIterator[pb.IndexFilesRequest]:
        for one in messages(many(300)):
            yield one
        await asyncio.sleep(PATIENCE)

    call = store.code.IndexFiles(endless())
    await until(lambda: is_asked(store))
    call.cancel()
    store.embedder.gate.set()

    await until(lambda: is_free(store, "old.py"))
    assert "old.py" in await paths(store)
    [row] = await store.rows(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE query LIKE '%named%' AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert row["count"] == 0


async def test_a_deadline_ends_the_call_and_its_lock(store: StoreUnderTest) -> None:
    store.embedder.gate.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.code.IndexFiles(messages({"a.py": module("a")}), timeout=0.4)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    store.embedder.gate.set()

    await until(lambda: is_free(store, "b.py"))


@pytest.mark.parametrize("condition", ["application_name = 'trimem-store'", "query LIKE '%named%'"])
async def test_a_database_that_is_gone_stops_the_call(store: StoreUnderTest, condition: str) -> None:
    """All connections, or the one that holds the right to index."""
    store.embedder.gate.clear()
    call = asyncio.create_task(index(store, {"a.py": module("a")}, COMMIT))
    await until(lambda: is_asked(store))
    ended = await store.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND {condition}"
    )
    assert ended
    await asyncio.sleep(0.1)
    store.embedder.gate.set()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call

    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert await paths(store) == []
    assert (await index(store, {"a.py": module("a")}, COMMIT)).stored_count == 1


async def test_vectors_of_another_length_say_what_to_do(store: StoreUnderTest) -> None:
    await store.rows("ALTER TABLE code_chunks ALTER COLUMN embedding_code TYPE vector(7)")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await index(store, {"a.py": module("a")}, COMMIT)

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(caught.value) == "EMBEDDING_SPACE_MISMATCH"
    assert "forget-code" in (caught.value.details() or "")
