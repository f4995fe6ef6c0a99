"""`python -m store forget-code`, beside a store that serves."""

import asyncio
import json

import grpc
import pytest

from servicekit.status import reason_of
from tests.fixtures_code import COMMIT, index, module, paths
from tests.fixtures_store import DIMENSION, OTHER_SPACE, StartStore, StoreUnderTest
from tests.fixtures_store_process import PATIENCE, run
from trimem.store.v1 import code_service_pb2 as pb


async def test_another_model_is_refused_until_code_is_forgotten(start_store: StartStore) -> None:
    store = await start_store()
    await index(store, {"a.py": module("a"), "b.py": module("b")}, COMMIT)
    await store.create(content={"text": "an event stays"})
    store.embedder.code_space = OTHER_SPACE
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await index(store, {"c.py": module("c")})
    assert reason_of(caught.value) == "EMBEDDING_SPACE_MISMATCH"

    code, output, _ = await run("forget-code", "--dry-run", "--json", DATABASE_URL=store.database_url)
    assert code == 0
    assert json.loads(output)["would_forget"] | {"text_model": "", "code_model": ""} == {
        "repositories": 1, "files": 2, "chunks": 2, "dimension": DIMENSION, "text_model": "", "code_model": "",
    }  # fmt: skip
    code, _, errors = await run("forget-code", DATABASE_URL=store.database_url)
    assert (code, "say --yes" in errors) == (1, True)
    assert await paths(store) == ["a.py", "b.py"]
    code, output, _ = await run("forget-code", "--yes", DATABASE_URL=store.database_url)
    assert (code, "forgotten" in output) == (0, True)

    assert not (await store.code.ListRepositories(pb.ListRepositoriesRequest())).repositories
    assert not await store.rows("SELECT FROM nodes WHERE namespace LIKE 'code/%'")
    answer = await index(store, {"a.py": module("a"), "b.py": module("b")}, COMMIT)
    assert (answer.stored_count, answer.embedded_count) == (2, 2)
    [row] = await store.rows(
        "SELECT fingerprint FROM embedding_spaces WHERE column_name = 'code_chunks.embedding_code'"
    )
    assert row["fingerprint"] == OTHER_SPACE.fingerprint
    assert len(await store.rows("SELECT FROM events")) == 1
    assert len(await store.rows("SELECT FROM embedding_spaces WHERE column_name = 'events.embedding'")) == 1


async def test_vectors_may_be_of_another_length_afterwards(start_store: StartStore) -> None:
    store = await start_store()
    await index(store, {"a.py": module("a")}, COMMIT)

    code, _, _ = await run(
        "forget-code", "--yes", "--json", DATABASE_URL=store.database_url, EMBEDDING_DIMENSION=str(DIMENSION * 2)
    )

    assert code == 0
    [row] = await store.rows(
        "SELECT array_agg(DISTINCT atttypmod) AS lengths FROM pg_attribute "
        "WHERE attrelid = 'code_chunks'::regclass AND attname LIKE 'embedding%' AND atttypmod > 0"
    )
    assert row["lengths"] == [DIMENSION * 2]
    assert await lasting_reason(store) == "EMBEDDING_SPACE_MISMATCH"  # this store has not been told


async def lasting_reason(store: StoreUnderTest) -> str:
    """Why files are not stored, once every connection has seen the new columns."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await index(store, {"a.py": module("a")}, COMMIT)
            if reason_of(caught.value) != "EMBEDDING_SPACE_CHANGED":
                return reason_of(caught.value)


async def test_a_database_without_code_needs_no_consent(start_store: StartStore) -> None:
    store: StoreUnderTest = await start_store()

    code, _, _ = await run("forget-code", DATABASE_URL=store.database_url)

    assert code == 0
