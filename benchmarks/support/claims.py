"""The promises of the embedder, as ratios within one run."""

from statistics import median

from benchmarks.support.measurements import Claim, Series, latency_gap, latency_ratio, throughput_ratio
from benchmarks.support.scenarios import BARE, CEILING, EMBEDDER, NAIVE, STREAM

Results = dict[str, dict[str, Series]]

ONE, MANY, BULK, CACHE = "1 client, short", "64 clients, short", "bulk, 4 to 512 tokens", "cache, 1 client"
HYBRID_ONE, HYBRID_MANY = "HYBRID, 1 client, short", "HYBRID, 64 clients, short"


def speed_claims(results: Results) -> list[Claim]:
    """What the scenarios say that were run."""
    claims: list[Claim] = []
    if (parties := results.get(MANY)) and NAIVE in parties:
        embedder, naive, ceiling = parties[EMBEDDER], parties[NAIVE], parties[CEILING]
        claims += [
            Claim(f"{MANY}: throughput over the naive server's", throughput_ratio(embedder, naive), 6, True),
            Claim(f"{MANY}: throughput over the ceiling", throughput_ratio(embedder, ceiling), 0.90, True),
        ]
    if (parties := results.get(BULK)) and CEILING in parties:
        claims += [
            Claim(f"{BULK}, {party}: throughput over the ceiling", ratio, 0.95, True)
            for party in (EMBEDDER, STREAM)
            if party in parties
            for ratio in [throughput_ratio(parties[party], parties[CEILING])]
        ]
    if (parties := results.get(ONE)) and NAIVE in parties:
        embedder, naive, bare = parties[EMBEDDER], parties[NAIVE], parties[BARE]
        claims += [
            Claim(f"{ONE}: median over the naive server's", latency_ratio(embedder, naive), 0.5, False),
            Claim(f"{ONE}: median above a bare forward pass", latency_gap(embedder, bare), 1.5, False, "ms"),
        ]
    if parties := results.get(CACHE):
        hit = parties["hit"]
        claims += [
            Claim("cache hit: median", median(each.median_ms for each in hit.rounds), 1.0, False, "ms"),
            Claim("cache hit: median of a miss over it", latency_ratio(parties["miss"], hit), 10, True),
        ]
    return claims


def memory_claim(label: str, peak_mb: float, bound_mb: float) -> Claim:
    """Memory with both models loaded and under load."""
    return Claim(f"{label}: peak RSS under load", peak_mb, bound_mb, False, "MB")
