"""Resident memory of another process while it works."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_MB = 1024 * 1024


@dataclass(slots=True)
class Memory:
    """Samples of the resident size of a process."""

    pid: int
    #: Pairs of seconds since the first sample, and bytes.
    samples: list[tuple[float, int]] = field(default_factory=list)

    @property
    def first_mb(self) -> float:
        """When the watch began."""
        return self.samples[0][1] / _MB

    @property
    def peak_mb(self) -> float:
        """The largest sample."""
        return max(size for _, size in self.samples) / _MB

    def high_water_mb(self) -> float | None:
        """The largest size since the process began, loading included, as Linux counts it; None elsewhere."""
        status = Path(f"/proc/{self.pid}/status")
        lines = status.read_text("ascii").splitlines() if status.exists() else []
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)

    def growth_percent(self, warm_up: float) -> float:
        """Growth between the end of the warm-up, which is that share of the time, and the end.

        Compares the medians of the tenth of the time after the warm-up and of the last tenth. NaN of too few samples.
        """
        total = self.samples[-1][0]
        before = [size for at, size in self.samples if warm_up <= at / total < warm_up + 0.1] if total else []
        after = [size for at, size in self.samples if at / total >= 0.9] if total else []
        if not before or not after:
            return float("nan")
        return (sorted(after)[len(after) // 2] / sorted(before)[len(before) // 2] - 1) * 100


@asynccontextmanager
async def watched(pid: int, every_seconds: float = 0.1) -> AsyncIterator[Memory]:
    """Sample while the block runs. A process that ends is no longer sampled."""
    memory, process, began = Memory(pid), psutil.Process(pid), time.monotonic()

    def sample() -> None:
        memory.samples.append((time.monotonic() - began, process.memory_info().rss))

    async def sampling() -> None:
        while process.is_running():
            await asyncio.sleep(every_seconds)
            try:
                sample()
            except psutil.NoSuchProcess:
                return

    sample()
    task = asyncio.create_task(sampling())
    try:
        yield memory
    finally:
        task.cancel()
