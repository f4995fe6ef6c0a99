"""The threads that compute on a device, and who gets them when."""

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

#: Runs a batch; the argument is whether it has all threads of the device to itself.
Run = Callable[[bool], None]
#: Called when there is a thread: says what to run, if there still is something.
Turn = Callable[[], Run | None]

#: Beyond so many threads each batch gets all of them: a batch at work takes memory, and long inputs would wait long.
_MOST_WORKERS = 8


def workers_of(threads: int) -> int:
    """How many batches are computed at once, each by one thread, when many wait."""
    return threads if threads <= _MOST_WORKERS else 1


class Device:
    """Threads that take turns in the order in which they were asked for.

    One batch by itself is computed by all threads, because somebody waits for it. As soon as there are two, each gets
    one: threads of one batch wait for each other hundreds of times in it, and all of them whenever something else on
    the machine needs a core (docs/adr/0006).

    Batches with all threads are the first worker's only. OpenMP has a pool of threads for each thread that computes
    with several, and stops spinning in all pools when there are more threads than cores.
    """

    def __init__(self, name: str, workers: int = 1) -> None:
        self._name = name
        self._workers = workers
        self._turns: deque[Turn] = deque()
        #: Since when each worker is at its turn.
        self._since: dict[int, float] = {}
        self._alone = False
        self._started = False
        self._closed = False
        self._lock = threading.Lock()  # guards all of the above
        self._first = threading.Condition(self._lock)
        self._others = threading.Condition(self._lock)

    @property
    def busy_seconds(self) -> float:
        """For how long the oldest turn that has not ended has lasted; 0 when there is none."""
        since = min(self._since.copy().values(), default=None)
        return 0.0 if since is None else time.monotonic() - since

    def submit(self, turn: Turn) -> None:
        """Ask for a turn. What it raises is only logged."""
        with self._lock:
            self._turns.append(turn)
            if 0 not in self._since:
                self._first.notify()
            elif not self._alone:
                self._others.notify()
            if self._started:
                return
            self._started = True
        for worker in range(self._workers):
            threading.Thread(target=self._live, args=(worker,), name=f"device {self._name}", daemon=True).start()

    def close(self) -> None:
        """Let the threads end once all turns are taken. What runs is not waited for."""
        with self._lock:
            self._closed = True
            self._first.notify_all()
            self._others.notify_all()

    def _live(self, worker: int) -> None:
        while (turn := self._next(worker)) is not None:
            run = None
            try:
                run = turn()
                if run is not None:
                    run(self._begin(worker))
            except BaseException:  # turns tell their owners themselves; the thread is not only theirs
                structlog.get_logger("device").exception("turn failed", device=self._name)
            self._end(worker)
            del turn, run  # with them goes the model, if it has been unloaded

    def _next(self, worker: int) -> Turn | None:
        mine = self._others if worker else self._first
        with self._lock:
            mine.wait_for(lambda: self._may(worker) or (self._closed and not self._turns))
            if not self._turns:
                return None
            self._since[worker] = time.monotonic()
            return self._turns.popleft()

    def _may(self, worker: int) -> bool:
        if worker and (0 not in self._since or self._alone):
            return False  # the first comes first, and with it, perhaps, all threads
        return bool(self._turns)

    def _begin(self, worker: int) -> bool:
        """Whether the worker may use all threads."""
        with self._lock:
            if self._workers == 1:
                return True
            self._alone = worker == 0 and len(self._since) == 1 and not self._turns
            if self._turns:
                self._others.notify()
            return self._alone

    def _end(self, worker: int) -> None:
        with self._lock:
            del self._since[worker]
            if worker == 0:
                self._alone = False
            if self._closed:
                self._others.notify_all()
