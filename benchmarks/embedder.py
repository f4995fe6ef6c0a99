"""How fast the embedder is, beside the server that anybody would write first and beside what its engine can do at best.

In one run, on one machine, with the same models:

- naive: a gRPC server with one `SentenceTransformer.encode` in float32 a request,
- embedder: `python -m embedder` with its default settings,
- ceiling: the embedder's own engine on a list of texts, without a server.

Parties take turns in every round. Prints a table and whether each promise is kept; `--json` for scripts. The machine
should have nothing else to do. The exit status is 0 whatever the numbers are.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.support import claims, models
from benchmarks.support.bystanders import Bystanders
from benchmarks.support.children import child, run_until_interrupted, server
from benchmarks.support.measurements import Claim
from benchmarks.support.memory import Memory, watched
from benchmarks.support.models import BenchmarkModel
from benchmarks.support.scenarios import HYBRID, TEXT, Parties, Plan
from benchmarks.support.table import (
    console_beside,
    machine,
    print_legend,
    print_machine,
    print_part,
    write_json,
)
from benchmarks.support.texts import Texts

#: Cores that others may use without spoiling the numbers.
_QUIET_CORES = 0.1
PARTS = ("minilm", "large", "int8")
_MINILM = Plan(rounds=3, single=150, window=3, bulk=384, bulk_request=64)
_LARGE = Plan(rounds=2, single=40, window=8, bulk=128, bulk_request=32)
_QUICK = Plan(rounds=1, single=60, window=2, bulk=128, bulk_request=32)


@dataclass(frozen=True, slots=True)
class Part:
    """The models that one embedder runs, and what is asked of it."""

    title: str
    text: BenchmarkModel
    code: BenchmarkModel
    plan: Plan
    #: Whether the naive server and the ceiling are measured, too.
    compared: bool = True
    hybrid: bool = True
    #: Largest allowed RSS under load, in MB; None when nothing is promised.
    memory_bound: float | None = None
    variables: tuple[tuple[str, str], ...] = ()

    def environment(self) -> dict[str, str]:
        """Environment of the embedder."""
        return {
            "EMBEDDING_MODEL": self.text.reference,
            "EMBEDDING_DIMENSION": str(self.text.dimension),
            "CODE_EMBEDDING_MODEL": self.code.reference,
            "CODE_EMBEDDING_DIMENSION": str(self.code.dimension),
            **dict(self.variables),
        }


def part_of(name: str, *, quick: bool) -> Part | None:
    """A part by its name, its models made; None when they cannot be."""
    if name == "minilm":
        model = models.minilm()
        return Part(model.label, model, model, _QUICK if quick else _MINILM, hybrid=False)
    text, code = models.text_stand_in(), models.code_stand_in()
    plan = _QUICK if quick else _LARGE
    if name == "large":
        return Part(f"TEXT {text.label}, CODE {code.label}", text, code, plan, memory_bound=1024)
    small = [models.exported(model, int8=True) for model in (text, code)]
    if small[0] is None or small[1] is None:
        return None
    variables = tuple({"EMBEDDING_PRECISION": "int8"}.items())
    return Part(
        f"TEXT {small[0].label}, CODE {small[1].label}",
        *(small[0], small[1], plan),
        compared=False,
        memory_bound=700,
        variables=variables,
    )


async def measure(part: Part) -> dict[str, Any]:
    """Start the parties, run the scenarios, and say what came out."""
    async with AsyncExitStack() as stack:
        load = await stack.enter_async_context(child("benchmarks.support.load"))
        environment = part.environment()
        embedder = await stack.enter_async_context(server("embedder", **environment))
        await load.ask(do="wait", address=embedder.address)
        naive = None
        if part.compared:
            directories = {"NAIVE_MODEL": str(part.text.directory), "NAIVE_CODE_MODEL": str(part.code.directory)}
            naive = await stack.enter_async_context(server("benchmarks.support.naive", **directories))
        offline = await stack.enter_async_context(child("benchmarks.support.offline", **environment))
        described = await offline.ask(do="describe")
        texts = Texts.of_tokenizer(models.MINILM / "tokenizer.json", seed=3)
        everybody = [process.pid for process in (load, embedder, naive, offline) if process]
        parties = Parties(load, embedder, naive, offline, texts, part.plan, Bystanders(everybody))
        memory = {"embedder": await stack.enter_async_context(watched(embedder.pid))}
        if naive:
            memory["naive"] = await stack.enter_async_context(watched(naive.pid))
        await _scenarios(parties, part)
        return _findings(part, described, parties, memory)


async def _scenarios(parties: Parties, part: Part) -> None:
    await parties.warm_up([TEXT, HYBRID] if part.hybrid else [TEXT])
    await parties.one_client(claims.ONE)
    await parties.many_clients(claims.MANY)
    await parties.bulk(claims.BULK, stream=True)
    await parties.cache(claims.CACHE)
    if part.hybrid:
        await parties.one_client(claims.HYBRID_ONE, HYBRID)
        await parties.many_clients(claims.HYBRID_MANY, HYBRID)


def _findings(part: Part, described: dict[str, str], parties: Parties, memory: dict[str, Memory]) -> dict[str, Any]:
    kept: list[Claim] = claims.speed_claims(parties.results)
    if part.memory_bound:
        kept.append(claims.memory_claim("both models", memory["embedder"].peak_mb, part.memory_bound))
    rows = [
        {"scenario": scenario, "party": party, **series.summary()}
        for scenario, measured in parties.results.items()
        for party, series in measured.items()
    ]
    others = max(row["bystander_cores"] for row in rows)
    return {
        "title": part.title,
        **described,
        "rows": rows,
        "memory": {
            name: {
                "loaded_mb": watch.first_mb,
                "peak_mb": watch.peak_mb,
                "high_water_mb": watch.high_water_mb(),
            }
            for name, watch in memory.items()
        },
        "claims": [claim.as_dict() for claim in kept],
        "notes": [f"BLURRED: other processes kept up to {others:.1f} cores busy"] if others > _QUIET_CORES else [],
    }


async def run(names: Sequence[str], *, quick: bool, json_target: str | None) -> int:
    """Measure all parts and print."""
    console = console_beside(json_target)
    report: dict[str, Any] = {"machine": machine(), "parts": []}
    print_machine(report["machine"], console)
    print_legend(console)
    for name in names:
        part = await asyncio.to_thread(part_of, name, quick=quick)
        report["parts"].append(await measure(part) if part else _unavailable(name))
        print_part(report["parts"][-1], console)
    if json_target:
        write_json(report, json_target)
    return 0


def _unavailable(name: str) -> dict[str, Any]:
    note = "not measured: the models cannot be exported (python -m embedder export)"
    return {
        "title": name,
        "engine": "",
        "precision": "",
        "rows": [],
        "memory": {},
        "claims": [],
        "notes": [f"{name}: {note}"],
    }


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="measure only this; may be given several times")
    parser.add_argument("--quick", action="store_true", help="MiniLM only and one round, unless --part says otherwise")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to standard output for `-`")
    arguments = parser.parse_args()
    names = arguments.part or (["minilm"] if arguments.quick else PARTS)
    return run_until_interrupted(partial(run, names, quick=arguments.quick, json_target=arguments.json))


if __name__ == "__main__":
    sys.exit(main())
