"""Use case: embed inputs with the model, or the models, of a domain."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from embedder.domain import Domain, InputKind, domains_of
from embedder.models.encoder import Encoded
from embedder.models.registry import ModelDescription, Models
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


class Observer(Protocol):
    """Hears of the work done."""

    def encoded(self, domain: Domain, *, inputs: int, tokens: int, seconds: float) -> None:
        """A model answered."""


class Embedding:
    """Checks what is asked for, and sends it to the models."""

    def __init__(self, models: Models, observer: Observer) -> None:
        self._models = models
        self._observer = observer

    async def embed(self, command: EmbedCommand) -> EmbedResult:
        """One embedding for each input, in input order.

        Raises InvalidArgumentError naming the field, ModelUnusableError and ModelUnreachableError.
        """
        require_inputs(command.inputs)
        domains = domains_of(command.domain)
        for domain in domains:
            await self._require_dimensions(domain, command.dimensions)
        encoded = await self._encode_all(domains, command)
        return EmbedResult(
            encoded=encoded,
            models=[self._models.describe(domain, command.dimensions) for domain in domains],
        )

    async def _require_dimensions(self, domain: Domain, dimensions: int) -> None:
        if dimensions == 0:
            return
        space = (await self._models[domain].ready()).space
        if space.offers(dimensions):
            return
        shortest = space.profile.shortest
        offer = f"{shortest} to {space.dimension}" if shortest else f"only {space.dimension}"
        raise InvalidArgumentError("dimensions", f"the {domain.name} model offers {offer}, or 0 for the full length")

    async def _encode_all(self, domains: Sequence[Domain], command: EmbedCommand) -> dict[Domain, Encoded]:
        # Domains that share a model share its answer.
        answering = {id(self._models[domain]): domain for domain in reversed(domains)}
        tasks = {key: asyncio.create_task(self._encode(domain, command)) for key, domain in answering.items()}
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():  # when one failed, or the caller left, nobody wants the other
                task.cancel()
        return {domain: tasks[id(self._models[domain])].result() for domain in domains}

    async def _encode(self, domain: Domain, command: EmbedCommand) -> Encoded:
        encoder = await self._models[domain].ready()
        started = time.perf_counter()
        encoded = await encoder.encode(
            command.inputs,
            kind=command.kind,
            dimensions=command.dimensions or encoder.space.dimension,
            reject_truncation=command.reject_truncation,
        )
        self._observer.encoded(
            domain,
            inputs=len(command.inputs),
            tokens=sum(encoded.token_counts),
            seconds=time.perf_counter() - started,
        )
        return encoded


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
