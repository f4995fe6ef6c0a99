"""From settings to models that wait to be used."""

from embedder.batcher import BatchObserver
from embedder.cache import EmbeddingCache
from embedder.domain import Domain
from embedder.models.catalogue import Catalogue, ModelProfile
from embedder.models.catalogue_file import load_catalogue
from embedder.models.loading import LoadOptions, engine_for, mock_loader, real_loader
from embedder.models.memory import MemoryBudget, MemoryWatch
from embedder.models.model import Configured, Model
from embedder.models.reference import HubModel, parse_reference
from embedder.models.registry import Models
from embedder.models.runtime import QueueLimits, Runtime
from embedder.settings import EmbedderSettings, EmbeddingMode, EngineChoice, Precision
from servicekit.errors import InvalidArgumentError

_MIB = 2**20


def new_runtime(settings: EmbedderSettings, observer: BatchObserver) -> Runtime:
    """What the models will share."""
    return Runtime(
        QueueLimits(
            max_items=settings.embedding_queue_max_items,
            max_tokens=settings.embedding_queue_max_tokens,
            batch_tokens=settings.embedding_batch_tokens,
        ),
        EmbeddingCache(max_entries=settings.embedding_cache_size, max_bytes=settings.embedding_cache_mb * _MIB),
        observer,
        threads=settings.embedding_threads,
    )


def memory_budget(settings: EmbedderSettings) -> MemoryBudget:
    """What this process may use."""
    return MemoryBudget(settings.embedding_memory_budget_mb * _MIB or None, MemoryWatch())


def build_models(settings: EmbedderSettings, runtime: Runtime, memory: MemoryBudget) -> Models:
    """The models that the settings ask for, none of them loaded. Domains that ask for the same share one.

    Raises ModelUnusableError for a reference that is none, and for a catalogue file that cannot be read.
    """
    maker = _Maker(settings, load_catalogue(settings.embedding_catalogue_file), runtime, memory)
    text, code = (maker.options(domain, engine="", precision="") for domain in (Domain.TEXT, Domain.CODE))
    first = maker(Domain.TEXT, name=settings.embedding_model, engine="", precision="")
    same = text == code and parse_reference(settings.code_embedding_model) == parse_reference(settings.embedding_model)
    second = first if same else maker(Domain.CODE, name=settings.code_embedding_model, engine="", precision="")
    return Models({Domain.TEXT: first, Domain.CODE: second}, maker)


class _Maker:
    """Makes models as the settings say, unless a swap says otherwise."""

    def __init__(
        self, settings: EmbedderSettings, catalogue: Catalogue, runtime: Runtime, memory: MemoryBudget
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._runtime = runtime
        self._memory = memory

    def __call__(self, domain: Domain, *, name: str, engine: str, precision: str) -> Model:
        """A model that is not loaded. Raises InvalidArgumentError and ModelUnusableError."""
        reference = self._catalogue.pinned(parse_reference(name))
        options = self.options(domain, engine=engine, precision=precision)
        mock = self._settings.embedding_mode is EmbeddingMode.MOCK
        profile = self._catalogue.find(reference) or ModelProfile()
        configured = Configured(
            name=reference.name,
            revision=reference.revision if isinstance(reference, HubModel) else "",
            dimension=options.dimension,
            engine="mock" if mock else engine_for(options, profile),
            precision=options.precision,
            device="cpu" if mock else options.device.replace("auto", ""),  # known once torch has looked
        )
        loader = (
            mock_loader(reference, dimension=options.dimension, catalogue=self._catalogue)
            if mock
            else real_loader(reference, options, self._catalogue, self._memory)
        )
        return Model(configured, loader, self._runtime.equip)

    def options(self, domain: Domain, *, engine: str, precision: str) -> LoadOptions:
        """How a model of this domain is to be run. Raises InvalidArgumentError naming what there is not."""
        settings = self._settings
        code = domain is Domain.CODE
        configured = settings.code_embedding_engine if code else settings.embedding_engine
        return LoadOptions(
            dimension=settings.code_embedding_dimension if code else settings.embedding_dimension,
            engine=_one_of(EngineChoice, engine or configured.value, "engine"),
            precision=_one_of(Precision, precision or settings.embedding_precision.value, "precision"),
            device=settings.embedding_device.value,
            threads=settings.embedding_threads,
        )


def _one_of(choices: type[EngineChoice] | type[Precision], value: str, field: str) -> str:
    known = [choice.value for choice in choices]
    if value not in known:
        raise InvalidArgumentError(field, f"must be one of {', '.join(known)}")
    return value
