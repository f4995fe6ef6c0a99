"""Builds engines from references: slow, blocking, and meant for the thread that will run the engine."""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from embedder.domain import InputKind
from embedder.models.catalogue import ModelProfile, catalogued, profile_of
from embedder.models.engine import Engine
from embedder.models.errors import ModelUnusableError
from embedder.models.fingerprint import content_digest
from embedder.models.mock_engine import MockEngine
from embedder.models.model import Loaded, Loader
from embedder.models.reference import HubModel, ModelFiles, ModelReference, resolve
from embedder.models.space import VectorSpace


def torch_loader(reference: ModelReference, *, dimension: int, device: str) -> Loader:
    """Loads a real model, and refuses it when its vectors have another length than `dimension`."""

    def load() -> Loaded:
        files = resolve(reference, _download)
        # Hashing releases the GIL and importing torch takes seconds: they overlap.
        with ThreadPoolExecutor(1, "digest") as aside, _collector_at_rest():
            digest = aside.submit(content_digest, files.directory)
            engine = _torch_engine(reference, files, device)
            content = digest.result()
        actual = engine.info.dimension
        if actual != dimension:
            raise ModelUnusableError(
                f"model {reference.name!r}: makes vectors of length {actual}, configured are {dimension}; "
                f"set EMBEDDING_DIMENSION and CODE_EMBEDDING_DIMENSION to {actual}, or choose another model"
            )
        profile = profile_of(reference, files.directory)
        structlog.get_logger("models").info(
            "read model",
            model=reference.name,
            revision=files.revision,
            query_prefix=profile.prefixes[InputKind.QUERY],
            document_prefix=profile.prefixes[InputKind.DOCUMENT],
            max_tokens=engine.info.max_tokens,
        )
        return Loaded(engine, VectorSpace(content, actual, profile), files.revision)

    return load


def mock_loader(reference: ModelReference, *, dimension: int) -> Loader:
    """Loads nothing, and says so. Prefixes and shortening are those of the model that it stands for."""

    def load() -> Loaded:
        structlog.get_logger("models").warning(
            "MOCK EMBEDDINGS: vectors are made of hashed words and know nothing of meaning", model=reference.name
        )
        engine = MockEngine(reference.name, dimension)
        return Loaded(engine, VectorSpace(engine.content, dimension, catalogued(reference) or ModelProfile()), "")

    return load


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Import without the garbage collector: it looks for cycles among a million objects that are all here to stay.

    That is a sixth of the time to start. Freezing them keeps later collections short, too.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _torch_engine(reference: ModelReference, files: ModelFiles, device: str) -> Engine:
    from embedder.models.torch_engine import TorchEngine  # seconds and hundreds of megabytes

    try:
        return TorchEngine(files.directory, name=reference.name, device=device)
    except ModelUnusableError as error:
        known = catalogued(reference)
        if known and known.advice:
            raise ModelUnusableError(f"{error.message} ({known.advice})") from error
        raise


def _download(model: HubModel) -> ModelFiles:
    from embedder.models.hub import download  # brings an HTTP client, which other references do not need

    return download(model)
