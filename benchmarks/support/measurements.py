"""Numbers that came out of runs, and what is said about them: percentiles, rates, ratios, claims."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that `percent` of all values do not exceed. NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(1, math.ceil(percent / 100 * len(ordered))) - 1]


@dataclass(frozen=True, slots=True)
class Round:
    """One run of a scenario against one party."""

    #: Texts answered.
    texts: int
    #: Their tokens, as the client counts them.
    tokens: int
    #: Wall time.
    seconds: float
    #: Milliseconds that each request took, or each text of a stream; empty where nobody asks and waits.
    latencies_ms: Sequence[float] = ()
    #: Processor time of the load generator.
    client_seconds: float = 0.0
    #: How often calls failed with which code.
    errors: dict[str, int] = field(default_factory=dict)
    #: Cores that processes without a part in this kept busy meanwhile.
    bystander_cores: float = 0.0

    @property
    def texts_per_second(self) -> float:
        """Throughput."""
        return self.texts / self.seconds

    @property
    def median_ms(self) -> float:
        """The middle one of the latencies."""
        return percentile(self.latencies_ms, 50)


@dataclass(slots=True)
class Series:
    """The rounds of one scenario against one party."""

    rounds: list[Round] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Percentiles over all rounds, and medians of the rounds' rates."""
        latencies = [value for each in self.rounds for value in each.latencies_ms]
        errors: dict[str, int] = {}
        for each in self.rounds:
            for code, count in each.errors.items():
                errors[code] = errors.get(code, 0) + count
        return {
            **{f"p{percent}_ms": percentile(latencies, percent) if latencies else None for percent in (50, 95, 99)},
            "texts_per_second": statistics.median(each.texts_per_second for each in self.rounds),
            "tokens_per_second": statistics.median(each.tokens / each.seconds for each in self.rounds),
            "client_cores": statistics.median(each.client_seconds / each.seconds for each in self.rounds),
            "bystander_cores": max(each.bystander_cores for each in self.rounds),
            "rounds": len(self.rounds),
            "errors": errors,
        }


def throughput_ratio(ours: Series, theirs: Series) -> float:
    """How many times their throughput is ours: the median over rounds, which were taken one right after the other.

    A machine that slows down for a minute slows both parties of a round.
    """
    pairs = zip(ours.rounds, theirs.rounds, strict=True)
    return statistics.median(a.texts_per_second / b.texts_per_second for a, b in pairs)


def latency_ratio(ours: Series, theirs: Series) -> float:
    """How many times their median latency is ours, likewise."""
    return statistics.median(a.median_ms / b.median_ms for a, b in zip(ours.rounds, theirs.rounds, strict=True))


def latency_gap(ours: Series, theirs: Series) -> float:
    """Milliseconds that our median latency is above theirs, likewise."""
    return statistics.median(a.median_ms - b.median_ms for a, b in zip(ours.rounds, theirs.rounds, strict=True))


@dataclass(frozen=True, slots=True)
class Claim:
    """What is promised, and what was measured."""

    text: str
    value: float
    bound: float
    #: Whether the bound is the least value, rather than the largest.
    at_least: bool
    unit: str = "x"

    @property
    def kept(self) -> bool:
        """Whether the promise holds. NaN keeps none."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "verdict": "PASS" if self.kept else "MISS"}
