"""The model of each domain."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from embedder.domain import Domain, ModelState
from embedder.models.model import Model


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What callers may know about the model of a domain. Empty or 0 where it is known only after loading."""

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
class Configured:
    """The model of a domain, and what is known of it before it is loaded."""

    model: Model
    revision: str
    dimension: int
    engine: str
    device: str


class Models:
    """Which model answers for which domain."""

    def __init__(self, configured: Mapping[Domain, Configured]) -> None:
        """`configured` has TEXT and CODE, perhaps with one and the same model."""
        self._configured = configured

    def __getitem__(self, domain: Domain) -> Model:
        """The model of TEXT or CODE."""
        return self._configured[domain].model

    def __iter__(self) -> Iterator[Domain]:
        """The domains that have a model: TEXT, then CODE."""
        return iter(self._configured)

    async def preload(self) -> None:
        """Load all models. Raises what the first failure raised."""
        for configured in self._configured.values():
            await configured.model.ready()

    def close(self) -> None:
        """Drop work that has not begun."""
        for configured in self._configured.values():
            configured.model.close()

    def describe(self, domain: Domain, dimensions: int = 0) -> ModelDescription:
        """The model of TEXT or CODE as it makes vectors of length `dimensions`; 0 means of full length."""
        configured = self._configured[domain]
        loaded = configured.model.loaded
        dimensions = dimensions or configured.dimension
        info = loaded.engine.info if loaded else None
        return ModelDescription(
            domain=domain,
            name=configured.model.name,
            revision=loaded.revision if loaded else configured.revision,
            fingerprint=loaded.space.fingerprint(dimensions) if loaded else "",
            dimension=dimensions,
            max_tokens=info.max_tokens if info else 0,
            precision=info.precision if info else "",
            engine=configured.engine,
            device=info.device if info else configured.device,
            state=configured.model.state,
            weight_bytes=info.weight_bytes if info else 0,
        )
