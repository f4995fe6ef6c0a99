"""What the models of one process share."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from embedder.batcher import Batcher, BatchObserver
from embedder.cache import EmbeddingCache
from embedder.device import Device, workers_of
from embedder.models.encoder import Encoder
from embedder.models.model import Loaded


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What may wait for a model, and what may go through it at once."""

    max_items: int = 4_096
    max_tokens: int = 262_144
    #: Padded tokens of a batch, or 0 for what the engine does best.
    batch_tokens: int = 0


class Runtime:
    """The cache, the devices, and a thread for long texts, which would hold up the event loop."""

    def __init__(
        self, limits: QueueLimits, cache: EmbeddingCache, observer: BatchObserver, *, threads: int = 0
    ) -> None:
        """`threads` compute on each device, 0 meaning one a core."""
        self.cache = cache
        self._limits = limits
        self._observer = observer
        self._workers = workers_of(threads or os.cpu_count() or 1)
        self._devices: dict[str, Device] = {}
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizing")

    def equip(self, loaded: Loaded, *, name: str, on_health: Callable[[bool], None]) -> Encoder:
        """Put a queue, its device and the cache around an engine."""
        info = loaded.engine.info
        batcher = Batcher(
            loaded.engine.forward,
            name=name,
            token_budget=self._limits.batch_tokens or info.token_budget,
            max_items=self._limits.max_items,
            max_tokens=self._limits.max_tokens,
            device=self._devices.setdefault(info.device, Device(info.device, self._workers)),
            at_once=info.at_once,
            observer=self._observer,
            on_health=on_health,
        )
        return Encoder(
            loaded.engine,
            loaded.space,
            batcher,
            revision=loaded.revision,
            cache=self.cache,
            aside=self._tokenizing,
        )

    def close(self) -> None:
        """Begin nothing more. What runs in a thread cannot be interrupted, and is not waited for."""
        for device in self._devices.values():
            device.close()
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
