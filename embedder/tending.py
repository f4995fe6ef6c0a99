"""What goes on beside the calls: reporting health, loading what failed, unloading what is idle, giving memory back."""

import asyncio
from collections.abc import Awaitable, Callable

from embedder.domain import Domain
from embedder.models.memory import trim_heap
from embedder.models.registry import Models

#: Seconds between looks at what nothing tells of by itself: a batch that hangs, a model that is idle.
_INTERVAL = 1.0

#: Tells the outside whether a domain, or with None the whole process, is fit to be called.
Report = Callable[[Domain | None, bool], Awaitable[None]]


async def tend(models: Models, report: Report, *, idle_unload_seconds: float, interval: float = _INTERVAL) -> None:
    """Run until cancelled. The process is fit as long as one of its models is."""
    changed = asyncio.Event()
    models.watch_health(changed.set)
    reported: dict[Domain | None, bool] = {}
    while True:
        changed.clear()  # before looking: what changes from here on is looked at next time
        fit: dict[Domain | None, bool] = {domain: models[domain].healthy for domain in models}
        fit[None] = any(fit.values())
        for subject, healthy in fit.items():
            if reported.get(subject) is not healthy:
                await report(subject, healthy)
        reported = fit
        models.retry_failed()
        if idle_unload_seconds:
            await models.unload_idle(idle_unload_seconds)
        await asyncio.to_thread(trim_heap)
        try:
            async with asyncio.timeout(interval):
                await changed.wait()
        except TimeoutError:
            continue
