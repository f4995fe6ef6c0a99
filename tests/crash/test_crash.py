"""Nothing acknowledged is lost, nothing is there twice, whatever is killed in the middle of an import.

`make test` runs one short round, `make test-crash` ten of three minutes: CRASH_ROUNDS and CRASH_SECONDS.
"""

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Sequence

import asyncpg
import grpc
import pytest

from tests.crash.cluster import KILLABLE, Cluster, rows, running_cluster
from tests.crash.importing import BUCKETS, Importer, Ledger, text_of
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
SECONDS = float(os.environ.get("CRASH_SECONDS", "12"))
IMPORTERS = 4
_COUNTS = """
    WITH counted AS (
        SELECT documents, length FROM lexical_totals UNION ALL SELECT documents, length FROM lexical_changes
    )
    SELECT (SELECT count(*) FROM events) AS events,
           (SELECT count(*) FROM event_keys) AS keys,
           (SELECT count(*) FROM events WHERE embedding IS NULL OR terms IS NULL) AS unfinished,
           (SELECT sum(term_total) FROM events) AS words,
           (SELECT sum(documents) FROM counted) AS documents,
           (SELECT sum(length) FROM counted) AS length
"""

_PENDING = "SELECT count(*) AS pending FROM events WHERE embedding_state = 'PENDING'"

#: Seconds in which one more event must be embedded after the last kill, and one answer must come.
PATIENCE = 120


# Importing is bounded by SECONDS, and embedding what it left by progress: how long that takes is up to the machine.
@pytest.mark.timeout(12 * SECONDS + 4 * PATIENCE)
@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_an_import_survives_kills_at_random(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    ledger = Ledger()
    async with running_cluster(tmp_path_factory.mktemp("crash")) as cluster:
        try:
            async with grpc.aio.insecure_channel(cluster.address) as channel:
                stub: rpc.EventServiceAsyncStub = rpc.EventServiceStub(channel)
                await _until_serving(stub)
                killed = await _import_while_killing(cluster, stub, ledger, seed)
                await _until_all_are_embedded(cluster)
                await _check(cluster, stub, ledger)
        except BaseException:
            print(*cluster.log, sep="\n")  # noqa: T201 - what led to the failure
            raise
    print(  # noqa: T201 - the result of a long run
        f"round {seed}: {len(ledger.acknowledged)} acknowledged of {len(ledger.sent)} sent, "
        f"{ledger.retries} retries, killed {dict(killed)}"
    )
    assert ledger.retries, "no call met a kill: the round proves nothing"


async def _import_while_killing(
    cluster: Cluster, stub: "rpc.EventServiceAsyncStub", ledger: Ledger, seed: int
) -> "Counter[str]":
    """Kill parts at random for a while, each in turn first, while importers work. All they began is acknowledged."""
    chance = random.Random(seed)
    over = asyncio.Event()
    importers = [
        asyncio.create_task(Importer(stub, ledger, seed * IMPORTERS + number).run(over)) for number in range(IMPORTERS)
    ]
    victims = chance.sample(KILLABLE, len(KILLABLE))
    killed: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    end = loop.time() + SECONDS
    try:
        while loop.time() < end or victims:
            await asyncio.sleep(chance.uniform(0.2, 4))
            name = victims.pop() if victims else chance.choice(KILLABLE)
            await cluster.kill(name)
            killed[name] += 1
            await asyncio.sleep(chance.choice([0, 0.5, 2]))
            await cluster.start(name)
    finally:
        over.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*importers)
    return killed


async def _until_all_are_embedded(cluster: Cluster) -> None:
    """Wait as long as events get embedded: how many are left depends on how busy the machine was."""
    loop = asyncio.get_running_loop()
    fewest: int | None = None
    try:
        async with asyncio.timeout(PATIENCE) as limit:
            while fewest != 0:
                with contextlib.suppress(OSError, asyncpg.PostgresError):  # it may still be coming back
                    [row] = await rows(cluster, _PENDING)
                    if fewest is None or row["pending"] < fewest:
                        fewest = row["pending"]
                        limit.reschedule(loop.time() + PATIENCE)
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"nothing is embedded any more, and {fewest} events are PENDING")


async def _check(cluster: Cluster, stub: "rpc.EventServiceAsyncStub", ledger: Ledger) -> None:
    assert ledger.surprises == []
    listed = await _all_events(stub)
    stored = {text_of(event): event for event in listed}
    assert len(stored) == len({event.id for event in listed}) == len(listed), "an event is there twice"
    assert stored.keys() <= ledger.sent.keys(), "phantoms"
    assert ledger.acknowledged.keys() <= stored.keys(), "acknowledged and lost"
    for text, event in stored.items():
        sent = ledger.sent[text]
        assert (_bucket_of(event), event.id) == (sent.bucket, sent.id or event.id)
        assert ledger.acknowledged.get(text) in {None, "", event.id}, "acknowledged under another id"
    assert {event.embedding_state for event in listed} == {pb.EMBEDDING_STATE_EMBEDDED}
    for bucket in range(BUCKETS):
        found = {text_of(event) for event in await _all_events(stub, bucket=bucket)}
        assert found == {text for text in stored if ledger.sent[text].bucket == bucket}, "a filter finds others"
    sample = random.sample(listed, min(50, len(listed)))
    await _check_vectors(cluster, sample)
    for event in sample[:20]:
        request = pb.SearchEventsRequest(query=text_of(event), page_size=1)
        [hit] = (await stub.SearchEvents(request, timeout=30)).hits
        assert hit.event.id == event.id
    [row] = await rows(cluster, _COUNTS)
    assert row["events"] == row["keys"] == row["documents"] == len(listed)
    assert (row["unfinished"], row["length"]) == (0, row["words"])


def _bucket_of(event: pb.Event) -> int:
    return int(event.metadata.fields["bucket"].number_value)


async def _check_vectors(cluster: Cluster, sample: Sequence[pb.Event]) -> None:
    """Each event has the vector of its own text."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{cluster.ports['embedder']}") as channel:
        embedder: embedding_pb2_grpc.EmbeddingServiceAsyncStub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        request = embedding_pb2.EmbedRequest(inputs=[text_of(event) for event in sample])
        wanted = (await embedder.Embed(request, wait_for_ready=True, timeout=30)).embeddings
    stored = await rows(
        cluster, "SELECT id, embedding::real[] AS vector FROM events WHERE id = ANY($1)", [one.id for one in sample]
    )
    vectors = {str(row["id"]): row["vector"] for row in stored}
    for event, embedding in zip(sample, wanted, strict=True):
        assert vectors[event.id] == pytest.approx(list(embedding.text.values), abs=1e-6), "the vector of another text"


async def _all_events(stub: "rpc.EventServiceAsyncStub", **metadata: int) -> list[pb.Event]:
    request = pb.ListEventsRequest(page_size=1000)
    request.metadata_filter.update(metadata)
    found: list[pb.Event] = []
    while True:
        page = await stub.ListEvents(request, timeout=60)
        found += page.events
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def _until_serving(stub: "rpc.EventServiceAsyncStub") -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await stub.ListEvents(pb.ListEventsRequest(page_size=1), timeout=5)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.1)
            else:
                return
