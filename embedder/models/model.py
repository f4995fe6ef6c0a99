"""A model that is loaded when it is first needed, once, without holding anything else up."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from embedder.domain import InputKind, ModelState
from embedder.models.encoder import Encoded, Encoder
from embedder.models.engine import Engine
from embedder.models.errors import ModelUnusableError
from embedder.models.space import VectorSpace
from servicekit.errors import TrimemError


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory."""

    engine: Engine
    space: VectorSpace
    #: Commit of a hub model, else empty.
    revision: str


#: Makes a model. Raises ModelUnusableError or ModelUnreachableError.
Loader = Callable[[], Loaded]


class Model:
    """One model, its thread and its state. Belongs to one event loop."""

    def __init__(self, name: str, loader: Loader, turn: asyncio.Lock) -> None:
        """`turn` is held while loading: torch and transformers keep global state that two loads would share."""
        self.name = name
        self.state = ModelState.UNLOADED
        self.loaded: Loaded | None = None
        self._loader = loader
        self._turn = turn
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._encoder: Encoder | None = None
        self._loading: asyncio.Task[Encoder] | None = None
        self._log = structlog.get_logger("models")

    async def ready(self) -> Encoder:
        """The encoder of the model, loading it when it is not in memory; all who wait share one load.

        Raises ModelUnusableError or ModelUnreachableError; the next call tries again.
        """
        if self._encoder is not None:
            return self._encoder
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
            self._loading.add_done_callback(self._settle)
        # The load goes on when one of those who wait for it is cancelled.
        return await asyncio.shield(self._loading)

    async def encode(
        self, texts: Sequence[str], *, kind: InputKind, dimensions: int, reject_truncation: bool = False
    ) -> Encoded:
        """As Encoder.encode, loading the model first if need be."""
        encoder = await self.ready()
        return await encoder.encode(texts, kind=kind, dimensions=dimensions, reject_truncation=reject_truncation)

    def close(self) -> None:
        """Forget what waits for the thread. What runs in it cannot be interrupted, and is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _load(self) -> Encoder:
        self.state = ModelState.LOADING
        try:
            async with self._turn:
                started = time.perf_counter()
                loop = asyncio.get_running_loop()
                self.loaded = await loop.run_in_executor(self._thread, self._loader)
        except TrimemError:
            self.state = ModelState.FAILED
            raise
        except Exception as error:
            self.state = ModelState.FAILED
            self._log.exception("model failed to load", model=self.name)
            raise ModelUnusableError(f"model {self.name!r}: cannot be loaded, the cause is in the log") from error
        self.state = ModelState.READY
        space = self.loaded.space
        self._log.info(
            "model ready",
            model=self.name,
            dimension=space.dimension,
            fingerprint=space.fingerprint(space.dimension),
            seconds=round(time.perf_counter() - started, 2),
        )
        self._encoder = Encoder(self.loaded.engine, space, self._thread)
        return self._encoder

    def _settle(self, loading: asyncio.Task[Encoder]) -> None:
        self._loading = None
        if not loading.cancelled():
            loading.exception()  # so that asyncio does not complain when nobody is left to hear of it
