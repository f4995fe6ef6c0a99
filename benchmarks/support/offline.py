"""The ceiling: the embedder's own engine on a list of texts, with no server, no queue and no client.

Takes the embedder's environment variables, and makes the engines exactly as the embedder does.

Questions (JSON lines): `{"do": "describe"}`, `{"do": "single", ...}` and `{"do": "batches", ...}`.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

import structlog

from benchmarks.support.children import answer_lines
from embedder.domain import Domain, domains_of
from embedder.models.engine import Engine
from embedder.models.from_settings import build_models, memory_budget, new_runtime
from embedder.settings import EmbedderSettings


class _Nobody:
    """Hears of the batches of a server, of which there are none."""

    def batch_ran(self, model: str, *, inputs: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """Nothing to do."""


class Offline:
    """Engines by domain."""

    def __init__(self) -> None:
        settings = EmbedderSettings()
        self._models = build_models(settings, new_runtime(settings, _Nobody()), memory_budget(settings))

    async def answer(self, question: dict[str, Any]) -> Any:
        """Answer a question."""
        domain = Domain[question.get("domain", "DOMAIN_TEXT").removeprefix("DOMAIN_")]
        engines = [await self._engine(each) for each in domains_of(domain)]
        match question["do"]:
            case "describe":
                return {"precision": engines[0].info.precision, "engine": engines[0].info.name}
            case "single":
                return [await single(engines, text, question["pause"]) for text in question["texts"]]
            case "batches":
                return [batches(engines, question["texts"], budget) for budget in question["budgets"]]
        raise ValueError(question["do"])

    async def _engine(self, domain: Domain) -> Engine:
        return (await self._models[domain].ready()).engine


async def single(engines: Sequence[Engine], text: str, pause: float) -> float:
    """Milliseconds of a bare forward pass over one text, already tokenized, after so many seconds of doing nothing."""
    await asyncio.sleep(pause)
    tokenized = [engine.tokenize([text]) for engine in engines]
    began = time.perf_counter()
    for engine, inputs in zip(engines, tokenized, strict=True):
        engine.forward(inputs)
    return (time.perf_counter() - began) * 1000


def batches(engines: Sequence[Engine], texts: Sequence[str], token_budget: int) -> float:
    """Seconds for all texts, tokenizing included, in batches of that many padded tokens."""
    began = time.perf_counter()
    for engine in engines:
        inputs = engine.tokenize(texts)
        for batch in plan_batches([len(item.ids) for item in inputs], token_budget=token_budget):
            engine.forward([inputs[index] for index in batch])
    return time.perf_counter() - began


def plan_batches(lengths: Sequence[int], *, token_budget: int) -> list[list[int]]:
    """Group inputs of the given lengths (tokens) so that little is spent on padding and memory stays bounded.

    Returns groups of indices, longest inputs first. A group padded to its longest member has at most
    `token_budget` tokens, unless it is a single input that is longer than that.
    """
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if room == 0:
            batches.append([])
            # The first member is the longest: each of those that follow is padded to it.
            room = max(1, token_budget // max(1, lengths[index]))
        batches[-1].append(index)
        room -= 1
    return batches


if __name__ == "__main__":
    # Standard output is for answers.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    answer_lines(Offline().answer)
