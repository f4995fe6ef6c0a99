"""How fast code is indexed and searched, and how well it is found: on Python's own library.

Parts, each for itself with `--part`:

- index: files and chunks a second; the same again, which embeds nothing; again with one file in a hundred changed,
- search: SearchCode in every mode, one call at a time, at the size that `index` made,
- graph: Traverse at depth 10, from functions and methods drawn by hash out of all, and from what is called most; with
  the default of 1,000 nodes in an answer, and with the most that may be asked for, 10,000,
- names: 200 names that one definition has, which is not of a test: how often it is found first by the name as it is
  written, and by its words,
- pieces: four lines out of the middle of 200 functions: how often the function is found, in every mode,
- docstrings: the first sentence of a docstring finds its function, in a repository of the library without docstrings
  and without tests. Half of the questions, drawn by hash, chose the weights in `store/use_cases/code_fusion.py`; the
  others, asked here, judge them. MRR and recall of the first ten hits.

Starts its own PostgreSQL, embedder (the packaged MiniLM, for both domains) and store; nothing is kept. To embed the
whole library takes most of an hour on two cores; `--files 300` takes a part of it, evenly spread. `--mock` does without
a model: then the whole library takes minutes, indexing shows what the store costs, and found are names, not meaning.
Prints tables and whether each promise is kept; `--json` for scripts. The exit status is 0 whatever the numbers are.
"""

import argparse
import hashlib
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.support import library
from benchmarks.support.children import run_until_interrupted
from benchmarks.support.code_party import CodeParty, code_party, rank_of
from benchmarks.support.library import Question
from benchmarks.support.measurements import Claim, percentile
from benchmarks.support.table import console_beside, machine, print_claims, print_machine, write_json
from trimem.store.v1 import graph_service_pb2 as graph_pb

PARTS = ("index", "search", "graph", "names", "pieces", "docstrings")
MODES = ("CODE", "TEXT", "NAMES", "FUSED")
LIBRARY, STRIPPED = "python/library", "python/without-docstrings"

FIRST = 10
_NAMES = 200
_SEARCHES = 60
_STARTS = 40
_CHANGED = 0.01

#: Called from all over the library.
_HUBS = (
    *(f"builtins.{name}" for name in ("len", "isinstance", "str", "range", "print", "list", "ValueError")),
    "unittest.case.TestCase.assertEqual",
)
_MOST_NODES = (1_000, 10_000)

Rows = list[dict[str, Any]]
Contents = Mapping[str, bytes]


async def index(party: CodeParty, contents: Contents) -> Rows:
    """The library three times."""
    changed = library.edited(contents, _CHANGED)
    count = sum(changed[path] != content for path, content in contents.items())
    rows = []
    runs = (("first", contents, 0), ("again", contents, 0), (f"{count} files changed", changed, count))
    for run, files, edits in runs:
        seconds, answer = await party.index(LIBRARY, files, f"index: {run}")
        rows.append(
            {
                "run": run,
                "files": len(files),
                "edited": edits,
                "seconds": seconds,
                "files_per_second": len(files) / seconds,
                "chunks": answer.chunk_count,
                "chunks_per_second": answer.chunk_count / seconds,
                "embedded": answer.embedded_count,
                "failed": answer.failed_count,
                "nodes": answer.node_count,
                "edges": answer.edge_count,
            }
        )
    return rows


async def search(party: CodeParty, contents: Contents) -> Rows:
    """Searches in every mode, each with questions of its own: the embedder remembers texts."""
    questions = library.docstring_questions(contents)
    rows = []
    for number, mode in enumerate(MODES):
        asked = library.evenly(questions[number :: len(MODES)], _SEARCHES)
        took = [(await party.search(one.text, mode, LIBRARY))[0] for one in asked]
        rows.append(
            {"mode": mode, "searches": len(took), "p50_ms": percentile(took, 50), "p95_ms": percentile(took, 95)}
        )
    return rows


async def graph(party: CodeParty) -> Rows:
    """Walks from functions and methods all over the library, and from hubs, as far as they may go."""
    starts = {
        "functions": drawn([node.id async for node in party.nodes(LIBRARY, "function", "method")], _STARTS),
        "hubs": [node.id for label in _HUBS async for node in party.nodes(LIBRARY, called=label)],
    }
    return [
        {"starts": kind, "direction": direction, "max_nodes": most, **await _walk(party, ids, direction, most)}
        for kind, ids in starts.items()
        if ids
        for most in _MOST_NODES
        for direction in ("OUT", "IN", "BOTH")
    ]


def drawn(ids: Sequence[str], count: int) -> list[str]:
    """Some of all, the same ones whenever the graph is the same."""
    return sorted(ids, key=lambda one: hashlib.sha256(one.encode()).digest())[:count]


async def _walk(party: CodeParty, starts: Sequence[str], direction: str, most: int) -> dict[str, Any]:
    took, reached = [], []
    for start in starts:
        request = graph_pb.TraverseRequest(
            start_ids=[start],
            direction=graph_pb.EdgeDirection.Value(f"EDGE_DIRECTION_{direction}"),
            max_depth=10,
            max_nodes=most,
        )
        begun = time.perf_counter()
        answer = await party.graph.Traverse(request, timeout=120)
        took.append((time.perf_counter() - begun) * 1000)
        reached.append(len(answer.nodes))
    return {"walks": len(took), "p50_ms": percentile(took, 50), "max_ms": max(took), "most_nodes": max(reached)}


async def names(party: CodeParty, contents: Contents) -> Rows:
    """How often the definition of a name is found first, of names that only one has, and how many such there are."""
    questions, own = library.name_questions(contents, _NAMES), library.share_of_own_names(contents)
    rows = []
    for kind in ("exact", "in words"):
        asked = {one: one.text if kind == "exact" else library.in_words(one.text) for one in questions}
        missed = [
            text
            for one, text in asked.items()
            if rank_of(one.answers, (await party.search(text, "FUSED", LIBRARY))[1]) != 1
        ]
        first = 1 - len(missed) / len(asked)
        rows.append({"query": kind, "names": len(asked), "own_names": own, "first": first, "missed": missed})
    return rows


async def pieces(party: CodeParty, contents: Contents) -> Rows:
    """How well functions are found by a piece of them."""
    questions = library.piece_questions(contents, _NAMES)
    return [await _ask(party, questions, mode, LIBRARY) for mode in MODES]


async def docstrings(party: CodeParty, contents: Contents, most: int, *, judging: bool) -> Rows:
    """How well functions are found by the first sentence of their docstring, which is not in the index."""
    stripped = {path: library.without_docstrings(content) for path, content in contents.items()}
    await party.index(STRIPPED, stripped, "docstrings: index")
    questions = [one for one in library.docstring_questions(contents) if one.judges is judging]
    step = max(1, len(questions) // most)
    return [await _ask(party, questions[::step][:most], mode, STRIPPED) for mode in MODES]


async def _ask(party: CodeParty, questions: Sequence[Question], mode: str, repository: str) -> dict[str, Any]:
    ranks = [rank_of(one.answers, (await party.search(one.text, mode, repository, FIRST))[1]) for one in questions]
    return {
        "mode": mode,
        "questions": len(ranks),
        "mrr": statistics.mean(1 / rank if rank else 0.0 for rank in ranks),
        "recall": statistics.mean(rank > 0 for rank in ranks),
    }


def claims(found: Mapping[str, Rows]) -> list[Claim]:
    """What the parts say that were run."""
    made: list[Claim] = []
    if rows := found.get("index"):
        first, again, edited = rows
        made += [
            Claim("indexing again: chunks that are embedded", again["embedded"], 0, at_least=False, unit="chunks"),
            Claim("indexing again: time over that of the first", again["seconds"] / first["seconds"], 0.05, False),
            # A line belongs to one chunk; at a cut it may move the end of that and the beginning of the next one.
            Claim(
                "indexing with edits: chunks embedded for a line in each of some files",
                edited["embedded"],
                2 * edited["edited"],
                at_least=False,
                unit="chunks",
            ),
        ]
    made += [
        Claim(
            f"Traverse {row['direction']} from {row['starts']}, depth 10, {row['max_nodes']:,} nodes: slowest",
            row["max_ms"],
            1000,
            at_least=False,
            unit="ms",
        )
        for row in found.get("graph", [])
    ]
    made += [
        Claim(f"names {row['query']}: share that is found first", row["first"], 0.95, at_least=True, unit="")
        for row in found.get("names", [])
    ]
    for part in ("pieces", "docstrings"):
        if rows := found.get(part):
            by_mode = {row["mode"]: row["mrr"] for row in rows}
            best = max(value for mode, value in by_mode.items() if mode != "FUSED")
            made.append(Claim(f"{part}: MRR of FUSED over that of its best arm", by_mode["FUSED"] / best, 1.0, True))
    return made


async def run(given: argparse.Namespace) -> int:
    """Measure and print."""
    parts, limit, json_target = given.part or PARTS, given.files, given.json
    console = console_beside(json_target)
    described = machine()
    print_machine(described, console)
    contents = library.files(limit)
    found: dict[str, Rows] = {}
    async with code_party(console, mock=given.mock) as party:
        asking = partial(docstrings, party, library.files(limit, tests=False), given.questions, judging=not given.chose)
        if set(parts) - {"docstrings"}:
            found["index"] = await index(party, contents)
            _print("index", found["index"], console)
        for part, measure in (
            ("search", partial(search, party, contents)),
            ("graph", partial(graph, party)),
            ("names", partial(names, party, contents)),
            ("pieces", partial(pieces, party, contents)),
            ("docstrings", asking),
        ):
            if part in parts:
                found[part] = await measure()
                _print(part, found[part], console)
    kept = [claim.as_dict() for claim in claims(found)]
    print_claims(kept, console, decimals=3)
    if json_target:
        write_json({"machine": described, "files": len(contents), **found, "claims": kept}, json_target)
    return 0


def _print(title: str, rows: Rows, console: Console) -> None:
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if value < 10 else f"{value:,.1f}"
    return " ".join(value[:20]) if isinstance(value, list) else f"{value:,}" if isinstance(value, int) else str(value)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, metavar="N", help="only so many files, evenly spread over the library")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be given more than once")
    parser.add_argument("--questions", type=int, default=500, metavar="N", help="most questions of docstrings")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to standard output for `-`")
    parser.add_argument("--chose", action="store_true", help="ask the questions of docstrings that chose the weights")
    parser.add_argument("--mock", action="store_true", help="vectors without a model")
    return run_until_interrupted(partial(run, parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
