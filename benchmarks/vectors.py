"""What it costs to put 32 vectors of 768 numbers into a protobuf message: the claim of embedder/vectors.py.

Compares three ways in one run, interleaved, and prints the medians and their ratio to the fastest; --json for scripts.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from embedder.vectors import fill
from trimem.embedding.v1 import embedding_pb2 as pb

Rows = NDArray[np.float32]
VECTORS, DIMENSION, ROUNDS = 32, 768, 200


def by_bytes(rows: Rows) -> pb.EmbedResponse:
    """What the embedder does."""
    response = pb.EmbedResponse()
    for row in rows:
        fill(response.embeddings.add().text, row)
    return response


def by_list(rows: Rows) -> pb.EmbedResponse:
    """The usual way."""
    response = pb.EmbedResponse()
    for row in rows:
        response.embeddings.add().text.values.extend(row.tolist())
    return response


def by_numpy(rows: Rows) -> pb.EmbedResponse:
    """The way that looks fast."""
    response = pb.EmbedResponse()
    for row in rows:
        response.embeddings.add().text.values.extend(row)
    return response


WAYS: dict[str, Callable[[Rows], pb.EmbedResponse]] = {
    "bytes (embedder.vectors.fill)": by_bytes,
    "extend(row.tolist())": by_list,
    "extend(row)": by_numpy,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    rows = np.random.default_rng(0).standard_normal((VECTORS, DIMENSION), dtype=np.float32)
    expected = by_list(rows)
    assert all(way(rows) == expected for way in WAYS.values())
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            began = time.perf_counter()
            way(rows)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    fastest = min(medians.values())
    if arguments.json:
        print(json.dumps({name: {"ms": value * 1000, "ratio": value / fastest} for name, value in medians.items()}))
        return
    print(f"{VECTORS} vectors of {DIMENSION} numbers, median of {ROUNDS} rounds")
    for name, value in medians.items():
        print(f"  {name:<32} {value * 1000:8.3f} ms  {value / fastest:6.1f} x")


if __name__ == "__main__":
    main()
