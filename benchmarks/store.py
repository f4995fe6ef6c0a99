"""How fast the store is, beside PostgreSQL itself.

In one run, on one machine, for vectors of 384 and of 768 numbers in twelve monthly partitions:

- ingest: events a second that BatchCreateEvents stores, vectors given, beside raw binary COPY of the same rows into a
  table with the same partitions, indexes and triggers; in turns, so that both tables grow alike,
- search: SearchEvents with a vector beside the bare SQL through asyncpg, in turns, with and without a filter that one
  event in a hundred passes; recall@10 of both against exact search,
- growth: searches at 10,000 and at 100,000 events, ingest from nothing and after 100,000.

Starts its own PostgreSQL. Prints a table and whether each promise is kept; `--json` for scripts. The exit status is 0
whatever the numbers are. Takes about a quarter of an hour; `--events 20000` a few minutes.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.support.children import run_until_interrupted
from benchmarks.support.measurements import Claim, percentile
from benchmarks.support.store_party import StoreParty, database_of, store_of
from benchmarks.support.store_rows import COLUMNS, Matrix, Rows, identity, number_of
from benchmarks.support.table import console_beside, machine, print_claims, print_machine, write_json
from deploy.local.postgres import LocalPostgres, running_postgres
from store.database import Connection, Database
from trimem.store.v1 import event_service_pb2 as pb

DIMENSIONS = (384, 768)
_FEW = 10_000
_BATCH = 1_000
#: Written after all else, to see what writing costs by then.
_MORE = 3_000
_QUERIES = 150
_NEAREST = 10

# What somebody would write by hand for the same answer, with the same index settings.
_BEGIN = "SET LOCAL hnsw.ef_search = 100; SET LOCAL hnsw.iterative_scan = 'strict_order'"
_SQL = """
    SELECT id, timestamp, content, metadata, embedding_state, embedding_error, embedding_attempts,
           create_time, update_time, embedding <=> $1 AS distance
    FROM events WHERE embedding_state = 'EMBEDDED' ORDER BY embedding <=> $1 LIMIT 10
"""
_FILTERED = _SQL.replace("ORDER BY", "AND metadata @> $2 ORDER BY")


async def measure(local: LocalPostgres, dimension: int, events: int, console: Console) -> dict[str, Any]:
    """All of it for vectors of one length."""
    rows = Rows.made(events + _MORE, dimension, seed=dimension)
    findings: dict[str, Any] = {"dimension": dimension, "ingests": [], "searches": []}
    few = min(_FEW, events)
    async with (
        store_of(local, f"store_{dimension}", rows) as party,
        database_of(local, f"plain_{dimension}", rows) as plain,
    ):
        findings["ingests"].append(await ingest(party, plain, rows, range(few)))
        console.print(f"{dimension}: ingest measured")
        for count in sorted({few, events}):
            if count > few:
                for database in (party.database, plain):
                    await grow(database, rows, range(few, count))
                console.print(f"{dimension}: grown to {count:,} events")
            for group in (None, 7):
                findings["searches"].append(await search(party, rows.first(count), group))
        findings["ingests"].append(await ingest(party, plain, rows, range(events, events + _MORE)))
    return findings


async def ingest(party: StoreParty, plain: Database, rows: Rows, numbers: range) -> dict[str, Any]:
    """Both ways in turns, batch by batch."""
    ours: list[float] = []
    theirs: list[float] = []
    for start in range(numbers.start, numbers.stop, _BATCH):
        batch = range(start, min(start + _BATCH, numbers.stop))
        request = pb.BatchCreateEventsRequest(requests=[_create(party, rows, number) for number in batch])
        records = list(rows.records(batch))
        began = time.perf_counter()
        answer = await party.stub.BatchCreateEvents(request, timeout=300)
        ours.append(len(batch) / (time.perf_counter() - began))
        assert all(one.HasField("event") for one in answer.results), answer.results[0]
        began = time.perf_counter()
        async with plain.transaction() as connection:
            await connection.copy_records_to_table("events", records=records, columns=COLUMNS)
        theirs.append(len(batch) / (time.perf_counter() - began))
    return {
        "events_before": numbers.start,
        "store_events_per_second": statistics.median(ours),
        "copy_events_per_second": statistics.median(theirs),
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
    }


async def grow(database: Database, rows: Rows, numbers: range) -> None:
    """Fill up without waiting for the index row by row: it is built anew at the end."""
    async with database.connection() as connection:
        await connection.execute("DROP INDEX ix_events_embedding")
        for start in range(numbers.start, numbers.stop, _BATCH):
            batch = range(start, min(start + _BATCH, numbers.stop))
            await connection.copy_records_to_table("events", records=rows.records(batch), columns=COLUMNS)
            keys = [(identity(number), rows.timestamp(number)) for number in batch]
            await connection.copy_records_to_table("event_keys", records=keys, columns=("event_id", "timestamp"))
        await connection.execute("SET maintenance_work_mem = '1GB'")
        await connection.execute(
            "CREATE INDEX ix_events_embedding ON events USING hnsw (embedding vector_cosine_ops) "
            "WITH (m = 16, ef_construction = 64)",
            timeout=3600,
        )
        await connection.execute("RESET maintenance_work_mem")
        await connection.execute("VACUUM ANALYZE events", timeout=600)


async def search(party: StoreParty, rows: Rows, group: int | None) -> dict[str, Any]:
    """The same queries of both in turns, and in turns the first to ask: the second finds in memory what the first read.

    All of them once before, unmeasured: the first time that a connection comes to a page of the index it has to map it,
    and the connection of the bare SQL may be the one that built the index.
    """
    queries = rows.queries(_QUERIES)
    latencies: dict[str, list[float]] = {"store": [], "sql": []}
    right = {"store": 0, "sql": 0}
    async with party.database.connection() as connection:
        for place, query in enumerate((*queries, *queries)):
            ask = {
                "store": partial(_search, party, _request(query, group)),
                "sql": partial(_bare, connection, query, group),
            }
            wanted = set(rows.nearest(query, _NEAREST, group=group))
            for who in ask if place % 2 else reversed(ask):
                began = time.perf_counter()
                found = await ask[who]()
                ended = time.perf_counter()
                if place >= _QUERIES:
                    latencies[who].append((ended - began) * 1000)
                    right[who] += len(wanted & {number_of(one) for one in found()})
    return {
        "events": len(rows.vectors),
        "filter": "1 %" if group is not None else "none",
        **{
            f"{who}_{what}": value
            for who in latencies
            for what, value in (
                ("p50_ms", percentile(latencies[who], 50)),
                ("p95_ms", percentile(latencies[who], 95)),
                ("recall", right[who] / (_NEAREST * _QUERIES)),
            )
        },
        "ratio": percentile(latencies["store"], 50) / percentile(latencies["sql"], 50),
    }


def _request(query: Matrix, group: int | None) -> pb.SearchEventsRequest:
    request = pb.SearchEventsRequest(page_size=_NEAREST, mode=pb.SEARCH_MODE_VECTOR)
    request.vector.values.extend(query.tolist())
    if group is not None:
        request.metadata_filter.update({"group": group})
    return request


async def _search(party: StoreParty, request: pb.SearchEventsRequest) -> Callable[[], list[str]]:
    """Returns what reads the ids of the hits, which is not measured."""
    answer = await party.stub.SearchEvents(request, timeout=60)
    return lambda: [hit.event.id for hit in answer.hits]


async def _bare(connection: Connection, query: Matrix, group: int | None) -> Callable[[], list[Any]]:
    """Returns what reads the ids of the rows."""
    async with connection.transaction():
        await connection.execute(_BEGIN)
        arguments = (_SQL, query) if group is None else (_FILTERED, query, {"group": group})
        rows = await connection.fetch(*arguments)
    return lambda: [row["id"] for row in rows]


def _create(party: StoreParty, rows: Rows, number: int) -> pb.CreateEventRequest:
    request = pb.CreateEventRequest(vector_fingerprint=party.fingerprint)
    request.event.id = str(identity(number))
    request.event.timestamp.FromDatetime(rows.timestamp(number))
    request.event.content.update(rows.content(number))
    request.event.metadata.update(rows.metadata(number))
    request.vector.values.extend(rows.vectors[number].tolist())
    return request


def claims_of(findings: dict[str, Any]) -> list[Claim]:
    """What is promised of these numbers."""
    dimension = findings["dimension"]
    claims = [
        Claim(
            f"{dimension}: ingest after {one['events_before']:,} events over raw COPY", one["ratio"], 0.5, at_least=True
        )
        for one in findings["ingests"]
    ]
    for one in findings["searches"]:
        what = f"{dimension}: {one['events']:,} events, filter {one['filter']}"
        claims.append(Claim(f"{what}: median over the bare SQL's", one["ratio"], 1.5, at_least=False))
        claims.append(Claim(f"{what}: recall@10", one["store_recall"], 0.97, at_least=True, unit=""))
    return claims


async def run(dimensions: Sequence[int], events: int, json_target: str | None) -> int:
    """Measure and print."""
    console = console_beside(json_target)
    report: dict[str, Any] = {"machine": machine(), "parts": []}
    print_machine(report["machine"], console)
    with TemporaryDirectory(prefix="trimem-benchmark-") as folder:
        async with running_postgres(Path(folder), forward=lambda _name, _line: None) as local:
            for dimension in dimensions:
                findings = await measure(local, dimension, events, console)
                report["parts"].append({**findings, "claims": [claim.as_dict() for claim in claims_of(findings)]})
                print_findings(report["parts"][-1], console)
    if json_target:
        write_json(report, json_target)
    return 0


def print_findings(findings: dict[str, Any], console: Console) -> None:
    """Tables for people."""
    console.print(f"\n{findings['dimension']} numbers")
    for one in findings["ingests"]:
        console.print(
            f"ingest after {one['events_before']:,} events: store {one['store_events_per_second']:,.0f} events/s, "
            f"raw COPY {one['copy_events_per_second']:,.0f} events/s"
        )
    table = Table("events", "filter", "party", "p50 ms", "p95 ms", "recall@10")
    for one in findings["searches"]:
        for who, name in (("store", "SearchEvents"), ("sql", "bare SQL")):
            table.add_row(
                f"{one['events']:,}", one["filter"], name,
                *(f"{one[f'{who}_{what}']:.2f}" for what in ("p50_ms", "p95_ms")), f"{one[f'{who}_recall']:.3f}",
            )  # fmt: skip
    console.print(table)
    print_claims(findings["claims"], console)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000, help="how many at most [default: 100000]")
    parser.add_argument("--dimension", type=int, action="append", help="only vectors of this length; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to standard output for `-`")
    arguments = parser.parse_args()
    wanted = arguments.dimension or DIMENSIONS
    return run_until_interrupted(partial(run, wanted, arguments.events, arguments.json))


if __name__ == "__main__":
    sys.exit(main())
