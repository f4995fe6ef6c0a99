"""How well searches rank: by meaning, by words, and by both.

Two collections of different kind, each in a database of its own, behind a real store and a real embedder with the model
of the package, asked over gRPC:

- reference: docstrings of Python's library without their summaries, asked for by the summary,
- conversation: what twelve people said, asked for in other words, and by details.

Half of the questions, drawn by hash, chose the weight in `store/use_cases/fusion.py`; the others, asked here, judge it.
Prints nDCG, MRR and recall of the first ten hits, and whether the hybrid search keeps up with the better of its parts;
`--json` for scripts. The exit status is 0 whatever the numbers are.
"""

import argparse
import asyncio
import hashlib
import math
import statistics
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from google.protobuf.struct_pb2 import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.support import conversations, docstrings
from benchmarks.support.children import PATIENCE_SECONDS, run_until_interrupted, server
from benchmarks.support.measurements import Claim
from benchmarks.support.models import minilm
from benchmarks.support.table import console_beside, print_claims, write_json
from deploy.local.postgres import LocalPostgres, running_postgres
from store import migrate
from trimem.store.v1 import event_service_pb2 as pb
from trimem.store.v1 import event_service_pb2_grpc as rpc

FIRST = 10
MODES = ("VECTOR", "LEXICAL", "HYBRID")
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Collection:
    """Texts by key, and questions with the keys that answer them."""

    name: str
    texts: Mapping[str, str]
    questions: Sequence[tuple[str, frozenset[str]]]


def collections() -> list[Collection]:
    """Both, with the questions that did not choose the weight."""
    entries = docstrings.entries()
    asked = [(one.summary, frozenset({one.key})) for one in entries]
    said = [(one.text, one.answers) for one in conversations.questions()]
    return [
        Collection("reference", {one.key: one.text for one in entries}, [one for one in asked if judges(one[0])]),
        Collection(
            "conversation",
            {one.key: one.text for one in conversations.turns()},
            [one for one in said if judges(one[0])],
        ),
    ]


def judges(question: str) -> bool:
    """Whether a question is one of those that did not choose the weight."""
    return hashlib.sha256(question.encode()).digest()[0] % 2 == 1


def quality(found: Sequence[str], answers: frozenset[str]) -> dict[str, float]:
    """nDCG, reciprocal rank and recall of the first hits."""
    gains = [key in answers for key in found[:FIRST]]
    possible = min(FIRST, len(answers))
    ideal = sum(1 / math.log2(place + 2) for place in range(possible))
    return {
        "ndcg": sum(1 / math.log2(place + 2) for place, gain in enumerate(gains) if gain) / ideal,
        "mrr": next((1 / (place + 1) for place, gain in enumerate(gains) if gain), 0.0),
        "recall": sum(gains) / possible,
    }


async def measure(collection: Collection, embedder: str, local: LocalPostgres) -> list[dict[str, Any]]:
    """Store a collection and ask its questions in every mode."""
    url = await _database(local, collection.name)
    environment = {
        "DATABASE_URL": url,
        "EMBEDDER_TARGET": embedder,
        "EMBEDDING_DIMENSION": str(minilm().dimension),
    }
    async with (
        server("store", **environment) as store,
        grpc.aio.insecure_channel(store.address) as channel,
    ):
        stub: rpc.EventServiceAsyncStub = rpc.EventServiceStub(channel)
        await _ready(stub)
        await _fill(stub, collection.texts)
        return [await _ask(stub, collection, mode) for mode in MODES]


async def _database(local: LocalPostgres, name: str) -> str:
    connection = await asyncpg.connect(local.url())
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    plan = migrate.MigrationPlan(url=local.url(name), dimension=minilm().dimension)
    await asyncio.to_thread(migrate.upgrade, plan)
    return plan.url


async def _ready(stub: "rpc.EventServiceAsyncStub") -> None:
    """Wait for the store to have its database, and for the embedder to have its model."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await stub.SearchEvents(pb.SearchEventsRequest(query="?", mode=pb.SEARCH_MODE_VECTOR), timeout=10)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.1)
            else:
                return


async def _fill(stub: "rpc.EventServiceAsyncStub", texts: Mapping[str, str]) -> None:
    keys = list(texts)
    for start in range(0, len(keys), _BATCH):
        requests = [pb.CreateEventRequest(event=_event(key, texts[key])) for key in keys[start : start + _BATCH]]
        answer = await stub.BatchCreateEvents(pb.BatchCreateEventsRequest(requests=requests), timeout=120)
        states = {result.event.embedding_state for result in answer.results}
        if states != {pb.EMBEDDING_STATE_EMBEDDED}:
            raise RuntimeError(f"not embedded: {answer.results[0]}")


def _event(key: str, text: str) -> pb.Event:
    content, metadata = Struct(), Struct()
    content.update({"text": text})
    metadata.update({"key": key})
    return pb.Event(id=str(uuid.uuid5(uuid.NAMESPACE_URL, key)), content=content, metadata=metadata)


async def _ask(stub: "rpc.EventServiceAsyncStub", collection: Collection, mode: str) -> dict[str, Any]:
    measured = []
    for text, answers in collection.questions:
        request = pb.SearchEventsRequest(query=text, mode=pb.SearchMode.Value(f"SEARCH_MODE_{mode}"), page_size=FIRST)
        response = await stub.SearchEvents(request, timeout=30)
        if not response.complete or response.degraded:
            raise RuntimeError(f"not a full answer to {text!r}")
        measured.append(quality([str(hit.event.metadata["key"]) for hit in response.hits], answers))
    return {
        "collection": collection.name,
        "texts": len(collection.texts),
        "questions": len(measured),
        "mode": mode,
        **{name: statistics.mean(one[name] for one in measured) for name in ("ndcg", "mrr", "recall")},
    }


def claims(rows: Sequence[dict[str, Any]]) -> list[Claim]:
    """Whether the hybrid search keeps up, on each collection."""
    made = []
    for name in dict.fromkeys(row["collection"] for row in rows):
        by_mode = {row["mode"]: row["ndcg"] for row in rows if row["collection"] == name}
        better = max(by_mode["VECTOR"], by_mode["LEXICAL"])
        text = f"{name}: nDCG of HYBRID over that of its better part"
        made.append(Claim(text, by_mode["HYBRID"] / better, 1.0, at_least=True))
    return made


async def run(json_target: str | None) -> int:
    """Measure and print."""
    console = console_beside(json_target)
    rows: list[dict[str, Any]] = []
    model = {
        "EMBEDDING_MODEL": minilm().reference,
        "EMBEDDING_DIMENSION": str(minilm().dimension),
        "CODE_EMBEDDING_MODEL": minilm().reference,
        "CODE_EMBEDDING_DIMENSION": str(minilm().dimension),
    }
    with tempfile.TemporaryDirectory(prefix="trimem-postgres-") as folder:
        async with (
            running_postgres(Path(folder), forward=lambda _name, _line: None) as local,
            server("embedder", **model) as embedder,
        ):
            for collection in collections():
                rows += await measure(collection, embedder.address, local)
    print_rows(rows, console)
    kept = [claim.as_dict() for claim in claims(rows)]
    print_claims(kept, console, decimals=3)
    if json_target:
        write_json({"model": minilm().reference, "rows": rows, "claims": kept}, json_target)
    return 0


def print_rows(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """A table for people."""
    table = Table("collection", "texts", "questions", "mode", "nDCG@10", "MRR@10", "recall@10")
    for row in rows:
        numbers = (f"{row[name]:.4f}" for name in ("ndcg", "mrr", "recall"))
        table.add_row(row["collection"], str(row["texts"]), str(row["questions"]), row["mode"], *numbers)
    console.print(table)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to standard output for `-`")
    arguments = parser.parse_args()
    return run_until_interrupted(partial(run, arguments.json))


if __name__ == "__main__":
    sys.exit(main())
