"""Numbers of the benchmarks: percentiles, rates, ratios, claims."""

import math

import pytest

from benchmarks.support.measurements import (
    Claim,
    Round,
    Series,
    latency_gap,
    latency_ratio,
    percentile,
    throughput_ratio,
)
from benchmarks.support.memory import Memory


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (99, 99), (100, 100), (0, 1)])
def test_percentiles_are_values_that_were_measured(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], percent) == expected


def test_a_single_value_is_every_percentile() -> None:
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 50))


def test_a_summary_pools_latencies_and_takes_the_median_of_rates() -> None:
    series = Series(
        [
            Round(10, 100, 1.0, [1.0, 2.0], client_seconds=0.5, errors={"UNAVAILABLE": 1}),
            Round(30, 300, 1.0, [3.0, 4.0], client_seconds=0.1, errors={"UNAVAILABLE": 2}, bystander_cores=0.4),
            Round(40, 400, 2.0, [5.0, 6.0], client_seconds=0.2),
        ]
    )
    summary = series.summary()
    assert (summary["p50_ms"], summary["p99_ms"]) == (3.0, 6.0)
    assert (summary["texts_per_second"], summary["tokens_per_second"]) == (20, 200)
    assert summary["client_cores"] == 0.1
    assert summary["bystander_cores"] == 0.4  # of the worst round
    assert summary["errors"] == {"UNAVAILABLE": 3}


def test_who_is_not_waited_for_has_no_latencies() -> None:
    assert Series([Round(10, 100, 1.0)]).summary()["p50_ms"] is None


def test_ratios_compare_within_rounds() -> None:
    # The machine was ten times slower in the second round, for both.
    ours = Series([Round(60, 0, 1, [1.0]), Round(6, 0, 1, [10.0]), Round(60, 0, 1, [1.0])])
    theirs = Series([Round(10, 0, 1, [4.0]), Round(1, 0, 1, [40.0]), Round(10, 0, 1, [4.0])])
    assert throughput_ratio(ours, theirs) == 6
    assert latency_ratio(ours, theirs) == 0.25
    assert latency_gap(ours, theirs) == -3.0


@pytest.mark.parametrize(
    ("value", "at_least", "kept"),
    [(6.0, True, True), (5.9, True, False), (6.0, False, True), (6.1, False, False)],
)
def test_a_claim_includes_its_bound(value: float, at_least: bool, kept: bool) -> None:
    claim = Claim("throughput", value, 6, at_least)
    assert claim.kept is kept
    assert claim.as_dict()["verdict"] == ("PASS" if kept else "MISS")


@pytest.mark.parametrize("at_least", [True, False])
def test_a_claim_that_was_not_measured_is_not_kept(at_least: bool) -> None:
    assert not Claim("throughput", math.nan, 6, at_least).kept


def test_growth_is_counted_from_the_end_of_the_warm_up() -> None:
    samples = [(float(second), 500 if second < 20 else 1_000) for second in range(101)]
    assert Memory(1, samples).growth_percent(0.2) == 0
    growing = [(float(second), 1_000 + 2 * second) for second in range(101)]
    assert Memory(1, growing).growth_percent(0.2) == pytest.approx(13.5, abs=0.5)


def test_growth_of_too_few_samples_is_unknown() -> None:
    assert math.isnan(Memory(1, [(0.0, 500)]).growth_percent(0.2))
