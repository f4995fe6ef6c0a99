"""What is measured: scenarios, each against several parties, one right after the other in each round."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.support.bystanders import Bystanders
from benchmarks.support.children import Child, ServerProcess
from benchmarks.support.measurements import Round, Series
from benchmarks.support.texts import Text, Texts, requests_of

EMBEDDER, NAIVE, CEILING, BARE, STREAM = "embedder", "naive", "ceiling", "bare forward", "embedder, EmbedStream"
#: Between calls of one client the cores go to sleep; waking them is no cost of the server.
PAUSED, _PAUSE_SECONDS = "bare forward, pauses", 0.002
TEXT, HYBRID = "DOMAIN_TEXT", "DOMAIN_HYBRID"
#: Padded tokens a batch that the ceiling tries.
_BUDGETS = (256, 512, 1024, 2048)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    #: Texts of one client, one after the other.
    single: int
    #: Seconds of load by 64 clients.
    window: float
    #: Texts of a bulk, how many go in a request, and how many clients send them.
    bulk: int
    bulk_request: int
    bulk_clients: int = 4


@dataclass
class Parties:
    """Who is measured, by whom, and what came out by scenario and party."""

    load: Child
    embedder: ServerProcess
    naive: ServerProcess | None
    offline: Child | None
    texts: Texts
    plan: Plan
    bystanders: Bystanders
    results: dict[str, dict[str, Series]] = field(default_factory=dict)

    async def warm_up(self, domains: Sequence[str]) -> None:
        """Let everybody meet short and long texts before it counts."""
        for domain in domains:
            for requests in (requests_of(self.texts.short(16), 1), requests_of(self.texts.mixed(24), 8)):
                for server in filter(None, (self.naive, self.embedder)):
                    await self._load(server, requests, clients=4, domain=domain)
                if self.offline:
                    texts = [text for request in requests for text in request]
                    await self._offline(texts, _BUDGETS[-1:], domain)

    async def one_client(self, scenario: str, domain: str = TEXT) -> None:
        """One client, one short text at a time."""
        for _ in range(self.plan.rounds):
            texts = self.texts.short(self.plan.single)
            for party, server in self._servers():
                self._note(scenario, party, await self._load(server, requests_of(texts, 1), clients=1, domain=domain))
            for party, pause in ((BARE, 0.0), (PAUSED, _PAUSE_SECONDS)):
                if self.offline:
                    self.bystanders.begin()
                    milliseconds = await self.offline.ask(
                        do="single", texts=[text.text for text in texts], pause=pause, domain=domain
                    )
                    seconds, others = sum(milliseconds) / 1000, self.bystanders.cores()
                    outcome = Round(len(texts), _tokens(texts), seconds, milliseconds, bystander_cores=others)
                    self._note(scenario, party, outcome)

    async def many_clients(self, scenario: str, domain: str = TEXT, clients: int = 64) -> None:
        """Many clients, one short text each at a time."""
        sample = self.texts.short(256)
        budget = await self._best_budget(sample, domain)
        for _ in range(self.plan.rounds):
            # More than anybody answers in time, so that no text comes twice.
            texts = self.texts.short(int(3_000 * self.plan.window))
            for party, server in self._servers():
                outcome = await self._load(
                    server, requests_of(texts, 1), clients=clients, seconds=self.plan.window, domain=domain
                )
                self._note(scenario, party, outcome)
            await self._ceiling(scenario, sample, budget, domain)

    async def bulk(self, scenario: str, domain: str = TEXT, *, stream: bool = False) -> None:
        """Texts of mixed lengths in large requests of a few clients; and through as many streams."""
        budget = await self._best_budget(self.texts.mixed(self.plan.bulk // 3), domain)
        for _ in range(self.plan.rounds):
            for party, server in self._servers():
                texts = self.texts.mixed(self.plan.bulk)
                requests = requests_of(texts, self.plan.bulk_request)
                self._note(scenario, party, await self._load(server, requests, self.plan.bulk_clients, domain=domain))
            if stream:
                texts = self.texts.mixed(self.plan.bulk)
                requests = requests_of(texts, -(-len(texts) // self.plan.bulk_clients))
                outcome = await self._load(self.embedder, requests, self.plan.bulk_clients, domain=domain, stream=True)
                stream = "UNIMPLEMENTED" not in outcome.errors
                if stream:
                    self._note(scenario, STREAM, outcome)
            await self._ceiling(scenario, self.texts.mixed(self.plan.bulk), budget, domain)

    async def cache(self, scenario: str, repeats: int = 4) -> None:
        """One client sends texts that are new, then the same ones again and again."""
        for _ in range(self.plan.rounds):
            texts = self.texts.short(self.plan.single)
            for party, requests in (("miss", texts), ("hit", texts * repeats)):
                self._note(scenario, party, await self._load(self.embedder, requests_of(requests, 1), clients=1))
            again = requests_of(texts * int(1 + self.plan.window * 5_000 / len(texts)), 1)
            outcome = await self._load(self.embedder, again, clients=64, seconds=self.plan.window / 2)
            self._note(scenario, "hit, 64 clients", outcome)

    def _servers(self) -> list[tuple[str, ServerProcess]]:
        return [(NAIVE, self.naive), (EMBEDDER, self.embedder)] if self.naive else [(EMBEDDER, self.embedder)]

    def _note(self, scenario: str, party: str, outcome: Round) -> None:
        rate, others = outcome.texts_per_second, outcome.bystander_cores
        print(f"{scenario}: {party}: {rate:.1f} texts/s, others {others:.1f} cores", file=sys.stderr, flush=True)
        self.results.setdefault(scenario, {}).setdefault(party, Series()).rounds.append(outcome)

    async def _load(self, server: ServerProcess, requests: list[list[Text]], clients: int, **options: Any) -> Round:
        self.bystanders.begin()
        outcome = await self.load.ask(
            do="load",
            address=server.address,
            requests=[[text.text for text in request] for request in requests],
            clients=min(clients, len(requests)),
            **options,
        )
        answered = [text for index in outcome["answered"] for text in requests[index]]
        return Round(
            texts=len(answered),
            tokens=_tokens(answered),
            seconds=outcome["seconds"],
            latencies_ms=outcome["latencies_ms"],
            client_seconds=outcome["client_seconds"],
            errors=outcome["errors"],
            bystander_cores=self.bystanders.cores(),
        )

    async def _best_budget(self, texts: list[Text], domain: str) -> int:
        if not self.offline:
            return 0
        seconds = await self._offline(texts, _BUDGETS, domain)
        return _BUDGETS[seconds.index(min(seconds))]

    async def _ceiling(self, scenario: str, texts: list[Text], budget: int, domain: str) -> None:
        if self.offline:
            self.bystanders.begin()
            (seconds,) = await self._offline(texts, [budget], domain)
            others = self.bystanders.cores()
            self._note(scenario, CEILING, Round(len(texts), _tokens(texts), seconds, bystander_cores=others))

    async def _offline(self, texts: list[Text], budgets: Sequence[int], domain: str) -> list[float]:
        assert self.offline
        seconds: list[float] = await self.offline.ask(
            do="batches", texts=[text.text for text in texts], budgets=list(budgets), domain=domain
        )
        return seconds


def _tokens(texts: Sequence[Text]) -> int:
    return sum(text.tokens for text in texts)
