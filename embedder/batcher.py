"""Brings inputs of all calls together into batches for one model.

Knows neither a transport nor a model: it gets a function that runs a batch, and calls it in a thread of a device.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog

from embedder.device import Device, Run
from embedder.models.engine import Tokenized, Vectors
from embedder.room import Admission, BatcherClosedError, Room
from embedder.waiting import Entry, Ticket, Waiting, Work
from servicekit.errors import DeadlineExceededError, InternalError

#: A worker that dies again within this time is restarted later each time, up to the longest delay.
_SETTLED_SECONDS = 60.0
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 10.0


class BatchObserver(Protocol):
    """Hears of the batches that were run."""

    def batch_ran(self, model: str, *, inputs: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A batch was answered. Called in a thread of the device."""


class Batcher:
    """A queue, the worker that empties it, and what happens when either fails. Belongs to one event loop.

    There is no fixed delay: a batch is formed of what waits at the moment when the device is free, so batches grow with
    the load by themselves. The worker is a turn at the device, asked for again as long as something waits.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Tokenized], bool], Vectors],
        *,
        name: str,
        token_budget: int,
        max_items: int,
        max_tokens: int,
        device: Device,
        at_once: int = 1,
        observer: BatchObserver,
        on_health: Callable[[bool], None] = lambda _healthy: None,
    ) -> None:
        """`run` gets one batch, and whether it has the device to itself, and answers with a row for each member.

        `token_budget` bounds a batch: its size times its longest member. `max_items` and `max_tokens` bound what may
        wait. Batchers that share a `device` take turns, batch by batch; `at_once` is how many of this one may be
        run at the same time. `on_health` hears in the event loop of the death (False) and the return (True) of the
        worker.
        """
        self._run = run
        self._name = name
        self._device = device
        self._at_once = at_once
        self._observer = observer
        self._on_health = on_health
        self._waiting = Waiting(token_budget)
        self._lock = threading.Lock()  # guards `_waiting` and `_turns`
        #: Turns that the device was asked for and that have not ended.
        self._turns = 0
        # Nothing here may refer back to us: a model goes when the last reference to it goes (see `release_memory`).
        self._room = Room(self._waiting, max_items=max_items, max_tokens=max_tokens)
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._deaths = 0
        self._born = time.monotonic()
        self._log = structlog.get_logger("batcher")

    @property
    def items(self) -> int:
        """Inputs that were admitted and are not answered."""
        return self._room.items

    @property
    def waiting_tokens(self) -> int:
        """Tokens that wait for the worker."""
        return self._waiting.tokens

    @property
    def busy_seconds(self) -> float:
        """For how long the oldest batch that the device runs, of whichever model, has been run; 0 when none is."""
        return self._device.busy_seconds

    async def admit(self, count: int, *, tokens: int = 0, wait: bool) -> Admission:
        """See Room.admit."""
        return await self._room.admit(count, tokens, wait=wait)

    async def answer(self, admission: Admission, works: Sequence[Work], *, deadline: float = float("inf")) -> Ticket:
        """Have admitted inputs run, and wait for them. Equal inputs that wait or run already are not run again.

        `deadline` is a time of `time.monotonic()`: work that has not begun by then is dropped.
        Raises DeadlineExceededError then, InternalError when an input fails, and BatcherClosedError. Whoever is
        cancelled takes their inputs with them.
        """
        if self._closed:
            raise BatcherClosedError("the model was unloaded")
        ticket = Ticket(works, deadline)
        future = ticket.done = self._loop.create_future()
        admission.arrived()
        with self._lock:
            self._waiting.add(ticket)
        self._ask()
        try:
            await future
        except BaseException:
            # Cancelled, or one of its inputs failed: nobody wants the others any more.
            with self._lock:
                self._waiting.withdraw(ticket)
            raise
        return ticket

    async def drain(self) -> None:
        """Take no more, and wait until all that was admitted is answered."""
        self._room.close()
        await self._room.wait_empty()

    def close(self) -> None:
        """Take no more, and fail what waits. What runs cannot be interrupted, and is not waited for."""
        self._room.close()
        self._closed = True
        with self._lock:
            abandoned = self._waiting.clear()
        self._fail(abandoned, BatcherClosedError("the model was unloaded"))

    def _ask(self) -> None:
        """Ask the device for a turn, unless nothing waits or enough is asked for."""
        with self._lock:
            if self._turns >= self._at_once or not self._waiting:
                return
            self._turns += 1
        self._device.submit(self._take_turn)

    def _give_back(self) -> None:
        """A turn has ended."""
        with self._lock:
            self._turns -= 1
        self._ask()

    # What follows runs in the threads of the device, but for what it hands to the event loop.

    def _take_turn(self) -> Run | None:
        # Formed only now: what has come while another model had its turn goes along.
        try:
            with self._lock:
                batch, expired = self._waiting.take(time.monotonic())
        except BaseException as error:  # whatever it is: else nobody would ever ask for a turn again
            self._tell(self._bury, error, [])
            return None
        if expired:
            self._tell(self._expire, expired)
        if not batch:
            self._give_back()
            return None
        self._ask()  # what is left may be run beside it
        return partial(self._run_turn, batch)

    def _run_turn(self, batch: Sequence[Entry], alone: bool) -> None:
        unanswered = list(batch)
        try:
            self._run_batch(batch, unanswered, alone=alone)
        except BaseException as error:  # whatever ended it: somebody must hear of it
            self._tell(self._bury, error, unanswered)
        else:
            self._give_back()

    def _run_batch(self, batch: Sequence[Entry], unanswered: list[Entry], *, alone: bool) -> None:
        started = time.monotonic()
        try:
            rows = self._run([entry.tokens for entry in batch], alone)
            if len(rows) != len(batch):
                raise ValueError(f"{len(rows)} rows for {len(batch)} inputs")  # noqa: TRY301 - as bad as what it raises
        except Exception as error:
            self._isolate(batch, unanswered, error, alone=alone)
        else:
            self._finished(batch, rows, started)
            unanswered[:] = [entry for entry in unanswered if entry not in batch]

    def _isolate(self, batch: Sequence[Entry], unanswered: list[Entry], error: Exception, *, alone: bool) -> None:
        """One bad input must not fail those that happened to be beside it."""
        if len(batch) == 1:
            self._log.error("input failed", model=self._name, tokens=batch[0].length, exc_info=error)
            unanswered.remove(batch[0])
            self._tell(self._fail, batch, InternalError())
            return
        self._log.warning("batch failed, running its inputs one by one", model=self._name, inputs=len(batch))
        for entry in batch:
            self._run_batch([entry], unanswered, alone=alone)

    def _finished(self, batch: Sequence[Entry], rows: Vectors, started: float) -> None:
        seconds = time.monotonic() - started
        tokens = sum(entry.length for entry in batch)
        padded = len(batch) * max(entry.length for entry in batch)
        self._room.tokens_per_second += 0.2 * (tokens / max(seconds, 1e-6) - self._room.tokens_per_second)
        self._tell(self._deliver, batch, rows, started, seconds)
        self._observer.batch_ran(self._name, inputs=len(batch), tokens=tokens, padded_tokens=padded, seconds=seconds)

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():  # at the end of the process nobody waits any more
                raise

    # In the event loop again.

    def _deliver(self, batch: Sequence[Entry], rows: Vectors, started: float, seconds: float) -> None:
        for entry, row in zip(batch, rows, strict=True):
            for ticket, place in self._settle(entry):
                ticket.answer(place, row, queued=started - ticket.arrived, inferred=seconds)

    def _fail(self, batch: Sequence[Entry], error: Exception) -> None:
        for entry in batch:
            for ticket, _ in self._settle(entry):
                ticket.fail(error)

    def _expire(self, expired: Sequence[Entry]) -> None:
        self._fail(expired, DeadlineExceededError("the deadline passed while an input waited for the model"))

    def _settle(self, entry: Entry) -> Sequence[tuple[Ticket, int]]:
        with self._lock:  # from here on an equal input is a new one
            return self._waiting.settle(entry)

    def _bury(self, error: BaseException, unanswered: Sequence[Entry]) -> None:
        """Fail what the worker had in its hands, and put another in its place."""
        self._log.error("worker died", model=self._name, inputs=len(unanswered), exc_info=error)
        self._fail(unanswered, InternalError())
        self._deaths = 0 if time.monotonic() - self._born > _SETTLED_SECONDS else self._deaths + 1
        self._on_health(False)
        self._loop.call_later(min(_LONGEST_DELAY, _FIRST_DELAY * 2**self._deaths), self._revive)

    def _revive(self) -> None:
        self._born = time.monotonic()
        self._log.info("worker restarted", model=self._name)
        self._on_health(True)
        self._give_back()
