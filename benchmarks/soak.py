"""Does the embedder stay well? Good, bad, cancelled, expired, abandoned and oversized calls for as long as you like.

Starts one real embedder with its default settings, and watches that every good answer is the right one (beside
references that another embedder made alone before), that every call ends, that few are turned away, and that memory
does not grow. A text comes with others, again, or for the first time; new ones are checked by a third embedder when
the load is over. Every minute the TEXT model is exchanged for itself.

The exit status is 1 when anything of that fails. The default minute is too short to judge memory, which is
then only printed; take `--seconds 600`.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.support import models
from benchmarks.support.children import ServerProcess, run_until_interrupted, server
from benchmarks.support.memory import Memory, watched
from benchmarks.support.references import References, WrongAnswerError
from benchmarks.support.soak_calls import SoakCalls
from benchmarks.support.texts import Texts
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc

_GROWTH_PERCENT = 5.0
#: The part of the time in which memory may grow. Caches and allocators fill for minutes, so that growth in a shorter
#: run than this says nothing: it is printed, and not held against the embedder.
_WARM_UP, _TELLING_SECONDS = 0.2, 300.0
#: Between the end of a swap and the next, unless the run is short: then it is a quarter of that.
_SWAP_SECONDS = 60.0
_POOL = 200
_GIANT_BYTES = 1024 * 1024
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


async def soak(arguments: argparse.Namespace) -> int:
    """Run and print. Returns the exit status."""
    random.seed(arguments.seed)
    texts = Texts.of_tokenizer(models.MINILM / "tokenizer.json", arguments.seed)
    pool = [text.text for text in texts.mixed(_POOL)]
    giant = (texts.of_length(2_000).text + " ") * 1_000
    giant = giant[:_GIANT_BYTES]
    references = References()
    async with embedder(arguments) as (_, channel):
        stub: rpc.EmbeddingServiceAsyncStub = rpc.EmbeddingServiceStub(channel)
        lengths = await _lengths(stub, arguments.dimension)
        await references.learn(stub, [*pool, giant], lengths)
    references.require_distinct()
    print(f"{len(references.known)} references made", file=sys.stderr)
    async with embedder(arguments) as (process, channel), watched(process.pid, 1.0) as memory:
        calls = SoakCalls(channel, references, pool=pool, giant=giant, texts=texts, lengths=lengths)
        await _load(calls, process, seconds=arguments.seconds, workers=arguments.workers)
        calls.tally.violations[:0] = await _health_violations(process, channel)
    await _check_fresh(arguments, calls)
    return _report(arguments, calls, references, memory)


async def _load(calls: SoakCalls, process: ServerProcess, *, seconds: float, workers: int) -> None:
    ends = time.monotonic() + seconds

    async def work() -> None:
        while time.monotonic() < ends and process.alive:
            await calls.one()

    async def swap() -> None:
        # The first one at once: a model that both domains share is two from then on, and memory is compared with what
        # it is after the warm-up.
        while time.monotonic() < ends and process.alive:
            await calls.noted("swap", calls.swap)
            await asyncio.sleep(max(0, min(_SWAP_SECONDS, seconds / 4, ends - time.monotonic())))

    await asyncio.gather(swap(), *(work() for _ in range(workers)))
    calls.tally.judge_refusals()


@asynccontextmanager
async def embedder(arguments: argparse.Namespace) -> AsyncIterator[tuple[ServerProcess, grpc.aio.Channel]]:
    """An embedder that is SERVING, and a channel to it."""
    variables = {
        "EMBEDDING_MODEL": arguments.model,
        "CODE_EMBEDDING_MODEL": arguments.code_model or arguments.model,
        "EMBEDDING_DIMENSION": str(arguments.dimension),
        "CODE_EMBEDDING_DIMENSION": str(arguments.dimension),
        **dict(pair.split("=", 1) for pair in arguments.set),
    }
    async with (
        server("embedder", **variables) as process,
        grpc.aio.insecure_channel(process.address, options=_OPTIONS) as channel,
        asyncio.timeout(None) as patience,
    ):
        patience.reschedule(asyncio.get_running_loop().time() + 300)
        async for state in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
            if state.status == health_pb2.HealthCheckResponse.SERVING:
                break
        patience.reschedule(None)
        yield process, channel


async def _lengths(stub: "rpc.EmbeddingServiceAsyncStub", dimension: int) -> list[int]:
    """Dimensions to ask for: the full one, and half of it where both models offer that."""
    request = pb.EmbedRequest(inputs=["probe"], domain=pb.DOMAIN_HYBRID, dimensions=dimension // 2)
    try:
        await stub.Embed(request, timeout=60)
    except grpc.aio.AioRpcError:
        return [0]
    return [0, dimension // 2]


async def _health_violations(process: ServerProcess, channel: grpc.aio.Channel) -> list[str]:
    if not process.alive:
        return ["the embedder ended", *process.log]
    try:
        response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    except grpc.aio.AioRpcError as error:
        return [f"health: {error.code().name}"]
    return [] if response.status == health_pb2.HealthCheckResponse.SERVING else ["health is not SERVING"]


async def _check_fresh(arguments: argparse.Namespace, calls: SoakCalls) -> None:
    """Ask an embedder that never saw the load for texts that were new under it."""
    references = References()
    async with embedder(arguments) as (_, channel):
        stub: rpc.EmbeddingServiceAsyncStub = rpc.EmbeddingServiceStub(channel)
        for question, embedding in calls.tally.fresh:
            await references.learn_one(stub, question)
            try:
                references.check(question, embedding)
            except WrongAnswerError as error:
                calls.tally.violations.append(f"new text: {error}")


def _report(arguments: argparse.Namespace, calls: SoakCalls, references: References, memory: Memory) -> int:
    growth = memory.growth_percent(_WARM_UP)
    violations = calls.tally.violations
    if arguments.seconds >= _TELLING_SECONDS and not growth <= _GROWTH_PERCENT:
        violations.append(f"RSS grew by {growth:.1f} % after the warm-up")
    report: dict[str, Any] = {
        "seconds": arguments.seconds,
        "calls": {f"{kind}: {outcome}": count for (kind, outcome), count in sorted(calls.tally.outcomes.items())},
        "refused": {"calls": calls.tally.refused, "of": calls.tally.asked},
        "vectors_checked": references.checked + len(calls.tally.fresh),
        "worst_cosine": references.worst,
        "rss_mb": {"loaded": memory.first_mb, "peak": memory.peak_mb, "growth_percent": growth},
        "rss_samples": [[round(at, 1), size] for at, size in memory.samples],
        "violations": violations,
    }
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    for call, count in report["calls"].items():
        print(f"{count:8,} {call}")
    print(f"{calls.tally.refused:8,} of {calls.tally.asked:,} calls turned away")
    print(f"{report['vectors_checked']:8,} vectors checked, the worst with cosine {references.worst:.5f}")
    print(f"RSS {memory.first_mb:.0f} MB loaded, {memory.peak_mb:.0f} MB at most; {growth:+.1f} % after the warm-up")
    for violation in violations[:20]:
        print(f"VIOLATION {violation}")
    print(f"{'MISS' if violations else 'PASS'}: {len(violations)} violations in {arguments.seconds:g} s")
    return 1 if violations else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long the load lasts")
    parser.add_argument("--workers", type=int, default=16, help="calls at the same time")
    parser.add_argument("--model", default=models.minilm().reference, help="model of TEXT")
    parser.add_argument("--code-model", help="model of CODE; left out, the same one")
    parser.add_argument("--dimension", type=int, default=384, help="dimension of both models")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the embedder")
    parser.add_argument("--seed", type=int, default=11, help="of all that is random")
    parser.add_argument("--json", metavar="FILE", help="write JSON, with all samples, to a file")
    return run_until_interrupted(partial(soak, parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
