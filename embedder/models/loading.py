"""Builds engines from references: slow, blocking, and meant for a thread."""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog

from embedder.domain import InputKind
from embedder.models.catalogue import Catalogue, EngineName, ModelProfile
from embedder.models.checkpoint_files import find_onnx, torch_weights
from embedder.models.engine import Engine
from embedder.models.errors import ModelUnusableError
from embedder.models.fingerprint import content_digest
from embedder.models.memory import MemoryBudget, limit_kernel_caches, release_memory
from embedder.models.memory_need import need, reading_need
from embedder.models.mock_engine import MockEngine
from embedder.models.model import Loaded, Loader
from embedder.models.precision import fitting
from embedder.models.reference import HubModel, ModelFiles, ModelReference, resolve
from embedder.models.space import VectorSpace, cosines

#: What every model is tried with before it answers anybody.
_PROBES = ("the first of two probes", "def second(probe): return probe")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is to be run."""

    #: Length that its vectors must have.
    dimension: int
    #: "auto", "torch" or "onnx".
    engine: str = "auto"
    #: "auto", "fp32", "bf16", "fp16" or "int8".
    precision: str = "auto"
    #: "auto", "cpu", "cuda" or "mps".
    device: str = "cpu"
    #: Threads that it computes with; 0 means one a core.
    threads: int = 0


def real_loader(reference: ModelReference, options: LoadOptions, catalogue: Catalogue, memory: MemoryBudget) -> Loader:
    """Loads a real model, and refuses it when it is not whole, does not fit, or does not do what is said of it."""

    def load() -> Loaded:
        profile = catalogue.find(reference) or ModelProfile()
        wanted = engine_for(options, profile)
        files = resolve(reference, partial(download_for, engine=wanted, profile=profile), pooling=profile.pooling)
        profile = catalogue.profile_of(reference, files.directory)
        engine_name = _engine_of_files(wanted, options, files, profile)
        precision = fitting(options.precision, engine=engine_name, device=options.device)
        needed = need(files.directory, engine=engine_name, precision=precision, onnx_file=profile.onnx_file)
        meanwhile = reading_need(files.directory, precision) if engine_name == "torch" else 0
        # Hashing releases the GIL and importing torch takes seconds: they overlap.
        with (
            memory.reserved(reference.name, needed, meanwhile=meanwhile),
            ThreadPoolExecutor(1, "digest") as aside,
            _collector_at_rest(),
        ):
            digest = aside.submit(
                content_digest,
                files.directory,
                engine=engine_name,
                pooling=profile.pooling,
                onnx_file=profile.onnx_file,
            )
            engine = _ENGINES[engine_name](reference, files, profile, options)
            content = digest.result()
            verify(engine, name=reference.name, dimension=options.dimension)
        structlog.get_logger("models").info(
            "read model",
            model=reference.name,
            revision=files.revision,
            query_prefix=profile.prefixes[InputKind.QUERY],
            document_prefix=profile.prefixes[InputKind.DOCUMENT],
            max_tokens=engine.info.max_tokens,
        )
        return Loaded(engine, VectorSpace(content, options.dimension, profile), files.revision)

    return load


def mock_loader(reference: ModelReference, *, dimension: int, catalogue: Catalogue) -> Loader:
    """Loads nothing, and says so. Prefixes and shortening are those of the model that it stands for."""

    def load() -> Loaded:
        structlog.get_logger("models").warning(
            "MOCK EMBEDDINGS: vectors are made of hashed words and know nothing of meaning", model=reference.name
        )
        engine = MockEngine(reference.name, dimension)
        return Loaded(engine, VectorSpace(engine.content, dimension, catalogue.find(reference) or ModelProfile()), "")

    return load


def engine_for(options: LoadOptions, profile: ModelProfile) -> EngineName:
    """What is to run a model, before its files are known."""
    match options.engine:
        case "torch" | "onnx":
            return options.engine
        case _ if options.precision == "int8":
            return "onnx"
        case _:
            return profile.engine or "torch"


def verify(engine: Engine, *, name: str, dimension: int) -> None:
    """Try an engine: vectors of the right length, finite, not zero, and the same every time and in any company.

    Raises ModelUnusableError.
    """
    actual = engine.info.dimension
    if actual != dimension:
        raise ModelUnusableError(
            f"model {name!r}: makes vectors of length {actual}, configured are {dimension}; "
            f"set EMBEDDING_DIMENSION and CODE_EMBEDDING_DIMENSION to {actual}, or choose another model"
        )
    probes = engine.tokenize(_PROBES)
    together, again = engine.forward(probes), engine.forward(probes)
    alone = np.concatenate([engine.forward([probe]) for probe in probes])
    for rows in (together, again, alone):
        lengths = np.linalg.norm(rows, axis=1)
        if rows.shape != (len(probes), dimension) or not np.isfinite(lengths).all() or not lengths.all():
            raise ModelUnusableError(
                f"model {name!r}: makes vectors that are zero, NaN or infinite, or not one of each text"
            )
    # Half precision rounds differently in another batch.
    for other, complaint, least in ((again, "twice", 0.99999), (alone, "alone and beside another", 0.999)):
        if not (cosines(together, other) > least).all():
            raise ModelUnusableError(f"model {name!r}: makes different vectors of one text, {complaint}")


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Import without the garbage collector: it looks for cycles among a million objects that are all here to stay.

    That is a sixth of the time to start. Freezing them keeps later collections short, too.
    """
    gc.disable()
    try:
        yield
    finally:
        release_memory()  # what loading took beside the model itself
        gc.freeze()
        gc.enable()


def _engine_of_files(wanted: EngineName, options: LoadOptions, files: ModelFiles, profile: ModelProfile) -> EngineName:
    """A directory may hold files for one engine only; where nobody has said which to use, that one runs it."""
    if options.engine == "auto" and wanted == "torch" and not torch_weights(files.directory):
        return "onnx" if find_onnx(files.directory, profile.onnx_file) else wanted
    return wanted


def _torch_engine(reference: ModelReference, files: ModelFiles, profile: ModelProfile, options: LoadOptions) -> Engine:
    limit_kernel_caches()
    from embedder.models.torch_engine import TorchEngine  # seconds and hundreds of megabytes

    try:
        return TorchEngine(
            files.directory,
            name=reference.name,
            device=options.device,
            precision=options.precision,
            threads=options.threads,
            max_tokens=profile.max_tokens,
            pooling=profile.pooling,
            trust_remote_code=profile.trust_remote_code,
        )
    except ModelUnusableError as error:
        if profile.advice:
            raise ModelUnusableError(f"{error.message} ({profile.advice})") from error
        raise


def _onnx_engine(reference: ModelReference, files: ModelFiles, profile: ModelProfile, options: LoadOptions) -> Engine:
    from embedder.models.onnx_engine import OnnxEngine

    return OnnxEngine(
        files.directory,
        name=reference.name,
        precision=fitting(options.precision, engine="onnx", device="cpu"),
        threads=options.threads,
        max_tokens=profile.max_tokens,
        onnx_file=profile.onnx_file,
        pooling=profile.pooling,
    )


_ENGINES: dict[EngineName, Callable[[ModelReference, ModelFiles, ModelProfile, LoadOptions], Engine]] = {
    "torch": _torch_engine,
    "onnx": _onnx_engine,
}


def download_for(model: HubModel, *, engine: EngineName, profile: ModelProfile) -> ModelFiles:
    """What an engine needs of a hub model. Raises ModelUnusableError and ModelUnreachableError."""
    from embedder.models.hub import download  # brings an HTTP client, which other references do not need

    return download(
        model, engine=engine, onnx_file=profile.onnx_file, remote_code=engine == "torch" and profile.trust_remote_code
    )
