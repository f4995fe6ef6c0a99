"""One thread for all computing on a device."""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import structlog


class Device:
    """A thread that runs jobs in the order in which they were asked for.

    Two models on one processor are slower together than one after the other: each uses all cores, and their threads
    wait for each other in the middle of every operation. And it is one thread, not a lock that several take: OpenMP
    has a pool of threads for each thread that computes, and stops spinning in all of them when there are more than
    cores. On two cores a short text then takes three times as long (docs/adr/0006).
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._since: float | None = None

    @property
    def busy_seconds(self) -> float:
        """For how long the job that is being run has been run; 0 when none is."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def submit(self, job: Callable[[], None]) -> None:
        """Have `job` run after those that were submitted before. What it raises is only logged."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._live, name=f"device {self._name}", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def close(self) -> None:
        """Let the thread end once it has run what was submitted. What runs is not waited for."""
        self._jobs.put(None)

    def _live(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._since = time.monotonic()
            try:
                job()
            except BaseException:  # jobs tell their owners themselves; the thread is not only theirs
                structlog.get_logger("device").exception("job failed", device=self._name)
            self._since = None
            del job  # with it goes the model, if it has been unloaded
