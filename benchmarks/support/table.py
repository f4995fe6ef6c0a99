"""Prints what was measured."""

import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def console_beside(json_target: str | None) -> Console:
    """Where tables go: aside when JSON goes to standard output."""
    return Console(stderr=json_target == "-", width=None if sys.stdout.isatty() else 140, highlight=False)


def machine() -> dict[str, Any]:
    """What the numbers are taken on, before it has something to do."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def print_machine(described: dict[str, Any], console: Console) -> None:
    """What `machine` said."""
    console.print(
        f"{described['processor']}, {described['cores']} cores, load average {described['load_average']:.2f} before, "
        f"Python {described['python']}"
    )


def print_legend(console: Console) -> None:
    """How to read the tables of `print_part`."""
    console.print(
        "client: cores that the load generator took, on the same machine, from the servers that it measured.\n"
        "others: cores that processes without a part in this kept busy in the worst round. Above 0.1, measure again.\n"
        "ceiling: the embedder's engine on a list of texts, tokenizing included, best of several batch sizes.\n"
    )


def write_json(report: dict[str, Any], target: str) -> None:
    """JSON for scripts, to a file or, for `-`, to standard output."""
    text = json.dumps(_finite(report), indent=2, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        Path(target).write_text(text, "utf-8")


def print_part(part: dict[str, Any], console: Console) -> None:
    """Tables for people."""
    title = f"{part['title']}: embedder with {part['engine']} {part['precision']}"
    if part["rows"]:
        table = Table("scenario", "party", title=title, title_justify="left")
        for heading in ("p50 ms", "p95 ms", "p99 ms", "texts/s", "tokens/s", "client", "others", "errors"):
            table.add_column(heading, justify="right")
        last = ""
        for row in part["rows"]:
            scenario = "" if row["scenario"] == last else row["scenario"]
            last = row["scenario"]
            table.add_row(
                scenario,
                row["party"],
                *(_number(row[key]) for key in ("p50_ms", "p95_ms", "p99_ms")),
                *(_number(row[key]) for key in ("texts_per_second", "tokens_per_second")),
                *(_number(row[key]) for key in ("client_cores", "bystander_cores")),
                " ".join(f"{code} {count}" for code, count in row["errors"].items()),
            )
        console.print(table)
    for server, memory in part["memory"].items():
        console.print(
            f"RSS of {server}: {memory['loaded_mb']:.0f} MB loaded, {memory['peak_mb']:.0f} MB at most under load"
            + (f", {memory['high_water_mb']:.0f} MB at most since it began" if memory["high_water_mb"] else "")
        )
    for note in part["notes"]:
        console.print(note)
    print_claims(part["claims"], console)
    console.print()


def print_claims(claims: Sequence[dict[str, Any]], console: Console, *, decimals: int = 2) -> None:
    """Which promises are kept."""
    for claim in claims:
        sign = ">=" if claim["at_least"] else "<="
        colour = "green" if claim["verdict"] == "PASS" else "red"
        console.print(
            f"[{colour}]{claim['verdict']}[/] {claim['text']}: "
            f"{claim['value']:.{decimals}f} {claim['unit']} ({sign} {claim['bound']:g} {claim['unit']})"
        )


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _finite(value: Any) -> Any:
    """JSON has no NaN: null instead."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
