"""A model that is loaded when it is first needed, once, without holding anything else up, and can be let go again."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import structlog

from embedder.domain import ModelState
from embedder.models.encoder import Encoder
from embedder.models.engine import Engine
from embedder.models.errors import ModelUnusableError
from embedder.models.memory import release_memory
from embedder.models.space import VectorSpace
from embedder.room import BatcherClosedError
from servicekit.errors import TrimemError

#: A batch that takes longer than this has hung: the largest that can be legally formed takes a small part of it.
STALLED_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory."""

    engine: Engine
    space: VectorSpace
    #: Commit of a hub model, else empty.
    revision: str


#: Seconds after a failure in which nobody tries again, at first and at most.
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0

#: Makes a model. Raises ModelUnusableError, ModelUnreachableError or MemoryBudgetError.
Loader = Callable[[], Loaded]


@dataclass(frozen=True, slots=True)
class Configured:
    """What is known of a model before it is loaded."""

    #: Its reference.
    name: str
    revision: str
    dimension: int
    engine: str
    device: str
    #: As asked for: "auto", "fp32", "bf16", "fp16" or "int8".
    precision: str = "auto"


class Equip(Protocol):
    """Puts a queue, a worker and the rest around an engine; `on_health` hears of the worker's death and return."""

    def __call__(self, loaded: Loaded, *, name: str, on_health: Callable[[bool], None]) -> Encoder:
        """An encoder at work."""
        ...


class Model:
    """One model and its state. Belongs to one event loop."""

    def __init__(self, configured: Configured, loader: Loader, equip: Equip) -> None:
        self.configured = configured
        self.state = ModelState.UNLOADED
        #: What its vectors are like, once that is known.
        self.space: VectorSpace | None = None
        #: Commit of a hub model: the one that was loaded last, else the one that is configured.
        self.revision = configured.revision
        #: Called without arguments when `healthy` may have changed.
        self.on_health: Callable[[], None] = lambda: None
        self._loader = loader
        self._equip = equip
        self._encoder: Encoder | None = None
        self._loading: asyncio.Task[Encoder] | None = None
        self._unloading: asyncio.Task[None] | None = None
        self._worker_alive = True
        self._retired = False
        self._failure: Exception | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._used = time.monotonic()
        self._log = structlog.get_logger("models")

    @property
    def name(self) -> str:
        """The reference of the model."""
        return self.configured.name

    @property
    def reference(self) -> str:
        """What names the model with its revision."""
        return f"{self.name}@{self.revision}" if self.revision else self.name

    @property
    def encoder(self) -> Encoder | None:
        """What answers now, or None when the model is not in memory."""
        return self._encoder

    @property
    def healthy(self) -> bool:
        """Whether calls may be sent here. A model that waits to be loaded is healthy: the first call loads it."""
        if self._failure is not None or not self._worker_alive:
            return False
        return self._encoder is None or self._encoder.batcher.busy_seconds < STALLED_SECONDS

    @property
    def idle_seconds(self) -> float:
        """For how long nobody has asked for the model or waited for it."""
        if self._encoder is not None and self._encoder.batcher.items:
            self._used = time.monotonic()
            return 0.0
        return time.monotonic() - self._used

    async def ready(self, *, again: bool = False) -> Encoder:
        """The encoder of the model, loading it when it is not in memory; all who wait share one load.

        Raises what the loader raises. For some time after that, longer with each failure, it raises the same at once,
        unless `again` is set. Raises BatcherClosedError when another model has taken its place.
        """
        self._used = time.monotonic()
        if self._encoder is not None:
            return self._encoder
        if self._retired:
            raise BatcherClosedError("another model has taken the place of this one")
        if self._failure is not None and self._loading is None and not again and time.monotonic() < self._retry_at:
            raise self._failure.with_traceback(None)  # else it would grow with every caller
        # The load goes on when one of those who wait for it is cancelled.
        return await asyncio.shield(self._begin())

    def retry_failed(self) -> None:
        """Begin to load the model if that has failed and it is time to try again."""
        if self._failure is not None and self._loading is None and time.monotonic() >= self._retry_at:
            self._begin()

    async def retire(self) -> None:
        """Unload the model, for good."""
        self._retired = True
        await self.unload()

    async def unload(self) -> None:
        """Let the calls in flight finish, and free the memory. Does nothing when the model is not loaded."""
        if self._loading is not None:
            await asyncio.wait({self._loading})
        if self._encoder is not None:
            encoder, self._encoder = self._encoder, None
            self.state = ModelState.UNLOADED
            self._unloading = asyncio.create_task(self._free(encoder))
        if self._unloading is not None:
            await asyncio.shield(self._unloading)

    def close(self) -> None:
        """Fail what waits. What runs cannot be interrupted, and is not waited for."""
        if self._encoder is not None:
            self._encoder.batcher.close()

    def _begin(self) -> asyncio.Task[Encoder]:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
            self._loading.add_done_callback(self._settle)
        return self._loading

    async def _load(self) -> Encoder:
        if self._unloading is not None:  # two copies may not fit
            await asyncio.shield(self._unloading)
        self.state = ModelState.LOADING
        started = time.perf_counter()
        # Its thread ends with the load: one that has computed and stays slows down all others, see Device.
        aside = ThreadPoolExecutor(1, thread_name_prefix="loading")
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(aside, self._loader)
        except TrimemError as error:
            self._failed(error)
            self._log.warning("model not loaded", model=self.name, reason=error.reason, cause=error.message)
            raise
        except Exception as error:
            unusable = ModelUnusableError(f"model {self.name!r}: cannot be loaded, the cause is in the log")
            self._failed(unusable)
            self._log.exception("model failed to load", model=self.name)
            raise unusable from error
        finally:
            aside.shutdown(wait=False)
        self._encoder = self._equip(loaded, name=self.name, on_health=self._worker_changed)
        self.state, self._failure, self._failures = ModelState.READY, None, 0
        self.space, self.revision = loaded.space, loaded.revision or self.revision
        self._worker_changed(True)
        space, info = loaded.space, loaded.engine.info
        self._log.info(
            "model ready",
            model=self.name,
            engine=info.name,
            precision=info.precision,
            dimension=space.dimension,
            fingerprint=space.fingerprint(space.dimension),
            weight_mb=round(info.weight_bytes / 2**20),
            seconds=round(time.perf_counter() - started, 2),
        )
        return self._encoder

    async def _free(self, encoder: Encoder) -> None:
        await encoder.batcher.drain()
        del encoder
        # The last references go with the tasks that have just been answered.
        await asyncio.sleep(0)
        await asyncio.to_thread(release_memory)
        self._unloading = None
        self._log.info("model unloaded", model=self.name)

    def _failed(self, error: Exception) -> None:
        self.state, self._failure = ModelState.FAILED, error
        self._retry_at = time.monotonic() + min(_LONGEST_DELAY, _FIRST_DELAY * 2**self._failures)
        self._failures += 1
        self.on_health()

    def _worker_changed(self, alive: bool) -> None:
        self._worker_alive = alive
        self.on_health()

    def _settle(self, loading: asyncio.Task[Encoder]) -> None:
        self._loading = None
        if not loading.cancelled():
            loading.exception()  # so that asyncio does not complain when nobody is left to hear of it
