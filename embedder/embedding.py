"""Use case: embed inputs with the model, or the models, of a domain."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from embedder.domain import Domain, InputKind, domains_of
from embedder.models.encoder import Encoded, Encoder, Timings
from embedder.models.model import Model
from embedder.models.registry import ModelDescription, Models, describe
from embedder.room import BatcherClosedError
from servicekit.errors import InvalidArgumentError

MAX_INPUTS = 1_024
MAX_INPUT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EmbedCommand:
    """What to embed, and how."""

    inputs: Sequence[str]
    domain: Domain = Domain.TEXT
    kind: InputKind = InputKind.DOCUMENT
    #: Length of the vectors; 0 means full.
    dimensions: int = 0
    reject_truncation: bool = False


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """What the models made of the inputs."""

    #: By domain with a model of its own: TEXT, CODE or both, each in input order.
    encoded: Mapping[Domain, Encoded]
    models: Sequence[ModelDescription]

    def token_count(self, index: int) -> int:
        """Tokens of an input; with two models the larger count."""
        return max(encoded.token_counts[index] for encoded in self.encoded.values())

    def truncated(self, index: int) -> bool:
        """Whether a model read only the beginning of an input."""
        return any(encoded.truncated[index] for encoded in self.encoded.values())

    def cached(self, index: int) -> bool:
        """Whether no model ran for an input."""
        return all(encoded.cached[index] for encoded in self.encoded.values())

    @property
    def timings(self) -> Timings:
        """What took longest; with two models the longer of each stage."""
        parts = [encoded.timings for encoded in self.encoded.values()]
        return Timings(*(max(getattr(part, stage.name) for part in parts) for stage in fields(Timings)))


@dataclass(frozen=True, slots=True)
class CountResult:
    """Tokens of inputs, as the model of a domain reads them."""

    #: Special tokens and prefix included, before truncation.
    token_counts: Sequence[int]
    #: Tokens that the model reads of one input.
    max_tokens: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """Who answered, and what. An answer is of one model, whatever is swapped meanwhile, and says of which."""

    model: Model
    encoder: Encoder
    encoded: Encoded


class Observer(Protocol):
    """Hears of the work done."""

    def encoded(self, domain: Domain, *, inputs: int, cached: int, tokens: int, seconds: float) -> None:
        """A model answered; `cached` of the inputs were still in memory."""


class Embedding:
    """Checks what is asked for, and sends it to the models."""

    def __init__(self, models: Models, observer: Observer) -> None:
        self._models = models
        self._observer = observer

    async def embed(self, command: EmbedCommand, *, wait_for_room: bool = False) -> EmbedResult:
        """One embedding for each input, in input order.

        Raises InvalidArgumentError naming the field, ModelUnusableError, ModelUnreachableError, MemoryBudgetError,
        DeadlineExceededError, and QueueFullError unless `wait_for_room` is set.
        """
        require_inputs(command.inputs)
        answers = await self._ask(domains_of(command.domain), command, wait_for_room=wait_for_room)
        return EmbedResult(
            encoded={domain: answer.encoded for domain, answer in answers.items()},
            models=[
                describe(answer.model, domain, dimensions=command.dimensions, encoder=answer.encoder)
                for domain, answer in answers.items()
            ],
        )

    async def count(self, inputs: Sequence[str], domain: Domain, kind: InputKind) -> CountResult:
        """The tokens of each input. Raises what `embed` raises for such inputs, and when the domain is HYBRID."""
        if domain is Domain.HYBRID:
            raise InvalidArgumentError("domain", "must be TEXT or CODE: HYBRID has two models that count differently")
        require_inputs(inputs)
        encoder = await self._models[domain].ready()
        tokens = await encoder.count(inputs, kind)
        return CountResult([item.count for item in tokens], encoder.engine.info.max_tokens)

    async def _ask(
        self, domains: Iterable[Domain], command: EmbedCommand, *, wait_for_room: bool
    ) -> dict[Domain, _Answer]:
        """Have the present models of the domains answer, each on its own but all at once."""
        sharing: dict[Model, list[Domain]] = {}
        for domain in domains:  # those that share a model share its answer
            model = self._models[domain]
            await _require_dimensions(domain, model, command.dimensions)
            sharing.setdefault(model, []).append(domain)
        tasks = [
            asyncio.create_task(self._ask_one(model, group, command, wait_for_room=wait_for_room))
            for model, group in sharing.items()
        ]
        try:
            found = await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # when one failed, or the caller left, nobody wants the other
                task.cancel()
        return {domain: answer for answers in found for domain, answer in answers.items()}

    async def _ask_one(
        self, model: Model, domains: Sequence[Domain], command: EmbedCommand, *, wait_for_room: bool
    ) -> dict[Domain, _Answer]:
        started = time.perf_counter()
        encoder = None
        try:
            encoder = await model.ready()
            encoded = await encoder.encode(
                command.inputs,
                kind=command.kind,
                dimensions=command.dimensions or encoder.space.dimension,
                reject_truncation=command.reject_truncation,
                wait_for_room=wait_for_room,
            )
        except BatcherClosedError:
            if encoder is not None and model.encoder is encoder:
                raise  # the process ends
            # Unloaded or exchanged meanwhile. Asked again, it is loaded again, or another one answers.
            return await self._ask(domains, command, wait_for_room=wait_for_room)
        self._observer.encoded(
            domains[0],
            inputs=len(command.inputs),
            cached=sum(encoded.cached),
            tokens=sum(encoded.token_counts),
            seconds=time.perf_counter() - started,
        )
        return {domain: _Answer(model, encoder, encoded) for domain in domains}


async def _require_dimensions(domain: Domain, model: Model, dimensions: int) -> None:
    if dimensions == 0:
        return
    space = (await model.ready()).space
    if space.offers(dimensions):
        return
    shortest = space.profile.shortest
    offer = f"{shortest} to {space.dimension}" if shortest else f"only {space.dimension}"
    raise InvalidArgumentError("dimensions", f"the {domain.name} model offers {offer}, or 0 for the full length")


def require_inputs(inputs: Sequence[str]) -> None:
    """Raise InvalidArgumentError unless there are 1 to MAX_INPUTS texts that can be embedded."""
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise InvalidArgumentError("inputs", f"must be 1 to {MAX_INPUTS} texts, not {len(inputs)}")
    for index, text in enumerate(inputs):
        require_text(f"inputs[{index}]", text)


def require_text(field: str, text: str) -> None:
    """Raise InvalidArgumentError naming `field` unless the text is neither blank nor too long."""
    if not text or text.isspace():
        raise InvalidArgumentError(field, "must not be empty or blank")
    # Only long texts are worth encoding to know their bytes: no character takes more than 4.
    if len(text) * 4 > MAX_INPUT_BYTES and (size := len(text.encode())) > MAX_INPUT_BYTES:
        raise InvalidArgumentError(field, f"must be at most {MAX_INPUT_BYTES} bytes of UTF-8, not {size}")
