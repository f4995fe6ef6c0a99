"""The model of each domain, and exchanging one for another."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from embedder.domain import Domain, ModelState
from embedder.models.encoder import Encoder
from embedder.models.errors import SpaceChangeError, SwapInProgressError
from embedder.models.memory import MemoryBudgetError
from embedder.models.model import Model
from servicekit.errors import TrimemError


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What callers may know about the model of a domain. Empty or 0 where it is known only after loading.

    The fingerprint of a model that was unloaded is still known.
    """

    domain: Domain
    name: str
    revision: str
    fingerprint: str
    dimension: int
    max_tokens: int
    precision: str
    engine: str
    device: str
    state: ModelState
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class Swapped:
    """What a swap has changed."""

    previous: ModelDescription
    current: ModelDescription

    @property
    def space_changed(self) -> bool:
        """Whether vectors of the two must not be compared."""
        return self.previous.fingerprint != self.current.fingerprint


class Make(Protocol):
    """Makes a model that is not loaded."""

    def __call__(self, domain: Domain, *, name: str, engine: str, precision: str) -> Model:
        """What is left empty is taken from the settings. Raises InvalidArgumentError and ModelUnusableError."""
        ...


class Models:
    """Which model answers for which domain."""

    def __init__(self, models: Mapping[Domain, Model], make: Make) -> None:
        """`models` has TEXT and CODE, perhaps with one and the same model."""
        self._models = dict(models)
        self._make = make
        self._swapping: set[Domain] = set()
        self._on_health: Callable[[], None] = lambda: None
        self._log = structlog.get_logger("models")

    def __getitem__(self, domain: Domain) -> Model:
        """The model of TEXT or CODE."""
        return self._models[domain]

    def __iter__(self) -> Iterator[Domain]:
        """The domains that have a model: TEXT, then CODE."""
        return iter(self._models)

    def watch_health(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when the health of a model may be another than before."""
        self._on_health = changed
        for model in self._models.values():
            model.on_health = changed

    async def preload(self) -> None:
        """Load all models. Raises what the first failure raised, except that a model for which there is no memory is
        left out as long as another one is there."""
        refused: list[MemoryBudgetError] = []
        distinct = set(self._models.values())
        for domain in self:
            try:
                await self[domain].ready()
            except MemoryBudgetError as error:
                refused.append(error)
        if refused and not any(model.encoder for model in distinct):
            raise refused[0]

    def retry_failed(self) -> None:
        """Begin to load the models that could not be loaded before, if it is time to try again.

        A model that is unhealthy gets no calls that could load it.
        """
        for model in set(self._models.values()):
            model.retry_failed()

    async def unload_idle(self, seconds: float) -> None:
        """Unload the models that nobody has used for so long."""
        for model in set(self._models.values()):
            if model.encoder is not None and model.idle_seconds > seconds:
                self._log.info("unloading idle model", model=model.name)
                await model.unload()

    async def swap(
        self, domain: Domain, *, name: str, engine: str, precision: str, allow_space_change: bool, dry_run: bool
    ) -> Swapped:
        """Load another model beside that of a domain, and let it take over. On any failure nothing changes.

        Raises what `Make` and loaders raise, SwapInProgressError, and SpaceChangeError unless `allow_space_change`.
        """
        if domain in self._swapping:
            raise SwapInProgressError(f"the {domain.name} model is being swapped already")
        self._swapping.add(domain)
        try:
            old = self[domain]
            if old.space is None:  # its fingerprint is needed; but one that cannot be loaded may be replaced, too
                with suppress(TrimemError):
                    await old.ready()
            previous = self.describe(domain)
            new = self._new(domain, name=name or old.reference, engine=engine, precision=precision)
            try:
                swapped = Swapped(previous, describe(new, domain, encoder=await new.ready()))
                _require_allowed(swapped, domain, allow_space_change=allow_space_change or dry_run)
                if not dry_run:
                    self._flip(domain, new)
                    self._log.info("model swapped", domain=domain.name, old=old.name, new=new.name)
            finally:
                for model in (old, new):
                    if model not in self._models.values():
                        await asyncio.shield(model.retire())
            return swapped
        finally:
            self._swapping.discard(domain)

    def close(self) -> None:
        """Drop work that has not begun."""
        for model in self._models.values():
            model.close()

    def describe(self, domain: Domain, dimensions: int = 0) -> ModelDescription:
        """The model of TEXT or CODE as it makes vectors of length `dimensions`; 0 means of full length."""
        return describe(self[domain], domain, dimensions=dimensions, encoder=self[domain].encoder)

    def _new(self, domain: Domain, *, name: str, engine: str, precision: str) -> Model:
        """A model to take over, or that of the other domain if it is what is asked for."""
        new = self._make(domain, name=name, engine=engine, precision=precision)
        others = (model for other, model in self._models.items() if other is not domain)
        return next((model for model in others if model.configured == new.configured), new)

    def _flip(self, domain: Domain, new: Model) -> None:
        new.on_health = self._on_health
        self._models[domain] = new
        self._on_health()


def _require_allowed(swapped: Swapped, domain: Domain, *, allow_space_change: bool) -> None:
    if swapped.space_changed and not allow_space_change:
        raise SpaceChangeError(domain.name)


def _fingerprint(model: Model, dimensions: int, encoder: Encoder | None) -> str:
    if encoder is not None:
        return encoder.fingerprint(dimensions)
    return "" if model.space is None else model.space.fingerprint(dimensions)


def describe(model: Model, domain: Domain, *, dimensions: int = 0, encoder: Encoder | None) -> ModelDescription:
    """What callers may know about a model that answers with `encoder`, or about one that is not loaded."""
    configured = model.configured
    dimensions = dimensions or configured.dimension
    info = encoder.engine.info if encoder else None
    return ModelDescription(
        domain=domain,
        name=model.name,
        revision=encoder.revision if encoder else configured.revision,
        fingerprint=_fingerprint(model, dimensions, encoder),
        dimension=dimensions,
        max_tokens=info.max_tokens if info else 0,
        precision=info.precision if info else "",
        engine=info.name if info else configured.engine,
        device=info.device if info else configured.device,
        state=ModelState.READY if encoder else model.state,
        weight_bytes=info.weight_bytes if info else 0,
    )
