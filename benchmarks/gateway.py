"""What the gateway adds to a call, beside the same call to the backend itself.

In one run, on one machine, all parts real but the model (the mock, so that Embed is a hit in its cache):

- latency: one client, the parties in turns of twenty calls. What a party adds is its percentile less that of the direct
  call.
- throughput: many clients, each with a connection and a call at a time, the parties in turns.

The bare proxy is two hops of grpc.aio without anything of ours: what it adds is the least that a gateway in Python can.
Clients and servers share the machine, so that throughput says how much work each way is, not what the gateway can do
on a machine of its own. Prints a table and whether each promise is kept; `--json` for scripts. The exit status is 0
whatever the numbers are. Takes two and a half minutes; `--quick` one.
"""

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.support.children import run_until_interrupted
from benchmarks.support.gateway_load import Way
from benchmarks.support.gateway_party import (
    DIRECT,
    EMBEDDING,
    GATEWAY,
    GATEWAY_HTTP,
    STORE,
    GatewayParty,
    gateway_party,
    text_of,
)
from benchmarks.support.measurements import Claim, percentile
from benchmarks.support.table import console_beside, machine, print_claims, print_machine, write_json
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

_GRPC_ADDS_MS, _JSON_SEARCH_ADDS_MS = 0.6, 3.0
_HITS = 10
#: Cores that others may use without spoiling the numbers.
_QUIET_CORES = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    #: Calls of each party with one client, and how many before they count.
    calls: int
    warm_up: int
    #: Clients at once, seconds for each party, and how often.
    clients: int
    window: float
    rounds: int


_FULL = Plan(calls=1_000, warm_up=100, clients=32, window=2, rounds=2)
_QUICK = Plan(calls=300, warm_up=100, clients=32, window=1, rounds=1)


def scenarios(party: GatewayParty) -> dict[str, list[Way]]:
    """What is asked, and the ways to have it answered."""
    embed = embedding_pb2.EmbedRequest(inputs=[text_of(7)], kind=embedding_pb2.INPUT_KIND_QUERY).SerializeToString()
    get = pb.GetEventRequest(id=party.event_ids[0]).SerializeToString()
    by_vector = pb.SearchEventsRequest(page_size=_HITS, mode=pb.SEARCH_MODE_VECTOR)
    by_vector.vector.values.extend(party.vector)
    vector = by_vector.SerializeToString()
    text = pb.SearchEventsRequest(page_size=_HITS, query=text_of(7)).SerializeToString()
    text_json = _json(query=text_of(7), page_size=_HITS)
    vector_json = _json(vector={"values": party.vector}, page_size=_HITS, mode="SEARCH_MODE_VECTOR")
    get_ways = party.grpc_ways(STORE, "GetEvent", get)
    vector_ways = party.grpc_ways(STORE, "SearchEvents", vector)
    return {
        "Embed, cached": party.grpc_ways(EMBEDDING, "Embed", embed),
        "GetEvent": [*get_ways, party.http_way(f"/v1/events/{party.event_ids[0]}")],
        "SearchEvents by vector": [*vector_ways, party.http_way("/v1/search", vector_json)],
        "SearchEvents by text": [
            *party.grpc_ways(STORE, "SearchEvents", text),
            party.http_way("/v1/search", text_json),
        ],
    }


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


async def measure(party: GatewayParty, plan: Plan, console: Console) -> list[dict[str, Any]]:
    """Rows of the table."""
    rows = []
    for scenario, ways in scenarios(party).items():
        party.bystanders.begin()
        latencies = await party.load.ask(
            do="turns", ways=[asdict(way) for way in ways], calls=plan.calls, warm_up=plan.warm_up
        )
        loads: dict[str, list[dict[str, Any]]] = {way.party: [] for way in ways}
        for _ in range(plan.rounds):
            for way in ways:
                outcome = await party.load.ask(do="load", way=asdict(way), clients=plan.clients, seconds=plan.window)
                loads[way.party].append(outcome)
        others = party.bystanders.cores()
        rows += [_row(scenario, who, latencies, loads, others) for who in latencies]
        console.print(f"{scenario}: measured")
    return rows


def _row(
    scenario: str,
    who: str,
    latencies: dict[str, list[float]],
    loads: dict[str, list[dict[str, Any]]],
    bystander_cores: float,
) -> dict[str, Any]:
    errors: dict[str, int] = {}
    for outcome in loads[who]:
        for code, count in outcome["errors"].items():
            errors[code] = errors.get(code, 0) + count
    return {
        "scenario": scenario,
        "party": who,
        **{f"p{percent}_ms": percentile(latencies[who], percent) for percent in (50, 99)},
        **{
            f"p{percent}_added_ms": percentile(latencies[who], percent) - percentile(latencies[DIRECT], percent)
            for percent in (50, 99)
        },
        "calls_per_second": statistics.median(one["answered"] / one["seconds"] for one in loads[who]),
        "client_cores": statistics.median(one["client_seconds"] / one["seconds"] for one in loads[who]),
        "bystander_cores": bystander_cores,
        "errors": errors,
    }


def claims_of(rows: list[dict[str, Any]]) -> list[Claim]:
    """What is promised of these numbers."""
    claims = []
    for row in rows:
        what = f"{row['scenario']}: {row['party']} adds to the median"
        if row["party"] == GATEWAY:
            claims.append(Claim(what, row["p50_added_ms"], _GRPC_ADDS_MS, at_least=False, unit="ms"))
        elif row["party"] == GATEWAY_HTTP and row["scenario"].startswith("SearchEvents"):
            claims.append(Claim(what, row["p50_added_ms"], _JSON_SEARCH_ADDS_MS, at_least=False, unit="ms"))
    return claims


async def run(plan: Plan, json_target: str | None) -> int:
    """Measure and print."""
    console = console_beside(json_target)
    described = machine()
    print_machine(described, console)
    with TemporaryDirectory(prefix="trimem-benchmark-") as folder:
        async with gateway_party(Path(folder)) as party:
            rows = await measure(party, plan, console)
    claims = [claim.as_dict() for claim in claims_of(rows)]
    print_rows(rows, plan, console)
    print_claims(claims, console)
    if json_target:
        write_json({"machine": described, "plan": asdict(plan), "rows": rows, "claims": claims}, json_target)
    return 0


def print_rows(rows: list[dict[str, Any]], plan: Plan, console: Console) -> None:
    """A table for people."""
    table = Table("call", "party")
    for heading in ("p50 ms", "added", "p99 ms", "added", f"calls/s, {plan.clients} clients", "client", "errors"):
        table.add_column(heading, justify="right")
    last = ""
    for row in rows:
        direct = row["party"] == DIRECT
        table.add_row(
            "" if row["scenario"] == last else row["scenario"],
            row["party"],
            *(
                text
                for percent in (50, 99)
                for text in (f"{row[f'p{percent}_ms']:.2f}", "" if direct else f"{row[f'p{percent}_added_ms']:+.2f}")
            ),
            f"{row['calls_per_second']:,.0f}",
            f"{row['client_cores']:.2f}",
            " ".join(f"{code} {count}" for code, count in row["errors"].items()),
        )
        last = row["scenario"]
    console.print(table)
    others = max(row["bystander_cores"] for row in rows)
    if others > _QUIET_CORES:
        console.print(f"BLURRED: other processes kept up to {others:.1f} cores busy")


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer calls and one round")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to standard output for `-`")
    arguments = parser.parse_args()
    return run_until_interrupted(partial(run, _QUICK if arguments.quick else _FULL, arguments.json))


if __name__ == "__main__":
    sys.exit(main())
