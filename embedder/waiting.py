"""Inputs that wait for a model: who goes next, and with whom."""

import asyncio
import itertools
import time
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from embedder.domain import InputKind
from embedder.models.batches import best_window
from embedder.models.engine import Tokenized, Vectors

#: Batches of queries that may be run in a row while documents wait.
_QUERIES_IN_A_ROW = 4


@dataclass(frozen=True, slots=True)
class Work:
    """One input to be run."""

    #: Works with equal keys are equal inputs.
    key: Hashable
    tokens: Tokenized
    kind: InputKind


class Ticket:
    """One call's inputs and, when it is done, their rows. Used in the event loop only."""

    def __init__(self, works: Sequence[Work], deadline: float) -> None:
        self.works = works
        self.deadline = deadline
        self.arrived = time.monotonic()
        #: One of shape [d] for each work, in order.
        self.rows: list[Vectors | None] = [None] * len(works)
        #: Seconds that the input which waited longest waited, and that the slowest batch took.
        self.queued = 0.0
        self.inferred = 0.0
        self.done: asyncio.Future[None] | None = None
        self._left = len(works)

    def answer(self, place: int, row: Vectors, *, queued: float, inferred: float) -> None:
        """Take the row of one input."""
        self.rows[place] = row
        # An input that joined one that was being run already did not wait.
        self.queued = max(self.queued, queued, 0.0)
        self.inferred = max(self.inferred, inferred)
        self._left -= 1
        if not self._left and self.done and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """One input has failed, and the call with it."""
        if self.done and not self.done.done():
            self.done.set_exception(error)


@dataclass(eq=False, slots=True)
class Entry:
    """An input, and all who want it."""

    key: Hashable
    tokens: Tokenized
    kind: InputKind
    number: int
    #: Whether it is in the queue; else it is being run.
    waits: bool = True
    wanted_by: list[tuple[Ticket, int]] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens that the model reads."""
        return len(self.tokens.ids)

    @property
    def rank(self) -> tuple[int, int]:
        """Place among the others when sorted by length; no two are the same."""
        return len(self.tokens.ids), self.number


class _Lane:
    """Entries of one kind, by age and by length."""

    def __init__(self) -> None:
        self._by_age: OrderedDict[int, Entry] = OrderedDict()
        self._by_length: list[tuple[tuple[int, int], Entry]] = []

    def __len__(self) -> int:
        return len(self._by_age)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._by_age.values())

    def add(self, entry: Entry) -> None:
        self._by_age[entry.number] = entry
        insort(self._by_length, (entry.rank, entry))

    def remove(self, entry: Entry) -> None:
        del self._by_age[entry.number]
        del self._by_length[bisect_left(self._by_length, (entry.rank,))]

    def oldest(self, token_budget: int) -> list[Entry]:
        """The oldest entry, and those of like length that go with it at the least cost for each token."""
        place = bisect_left(self._by_length, (next(iter(self)).rank,))
        first, last = best_window([rank[0] for rank, _ in self._by_length], place, token_budget=token_budget)
        return [entry for _, entry in self._by_length[first:last]]


class Waiting:
    """The queue of one model. Not safe for threads: its owner has a lock.

    An entry is known from being added until it is settled, so that equal inputs meet while they wait and while they
    are run.
    """

    def __init__(self, token_budget: int) -> None:
        self._token_budget = token_budget
        self._known: dict[Hashable, Entry] = {}
        self._lanes = {kind: _Lane() for kind in InputKind}
        self._numbers = itertools.count()
        self._queries_in_a_row = 0
        #: Tokens that wait.
        self.tokens = 0

    def __bool__(self) -> bool:
        return any(self._lanes.values())

    def add(self, ticket: Ticket) -> None:
        """Queue what a ticket wants, and is not queued or run already."""
        for place, work in enumerate(ticket.works):
            entry = self._known.get(work.key)
            if entry is None:
                entry = self._known[work.key] = Entry(work.key, work.tokens, work.kind, next(self._numbers))
                self._lanes[work.kind].add(entry)
                self.tokens += entry.length
            entry.wanted_by.append((ticket, place))

    def withdraw(self, ticket: Ticket) -> None:
        """Nobody waits for this ticket any more: drop what only it wanted."""
        for key in {work.key for work in ticket.works}:
            entry = self._known.get(key)
            if entry is None:
                continue
            entry.wanted_by = [wanted for wanted in entry.wanted_by if wanted[0] is not ticket]
            if entry.waits and not entry.wanted_by:
                self._leave(entry)
                del self._known[key]

    def take(self, now: float) -> tuple[list[Entry], list[Entry]]:
        """The next batch, and those whose time was up before it came."""
        batch: list[Entry] = []
        expired: list[Entry] = []
        while not batch and self:
            for entry in self._next_lane().oldest(self._token_budget):
                self._leave(entry)
                if all(ticket.deadline <= now for ticket, _ in entry.wanted_by):
                    del self._known[entry.key]  # nobody may join it any more
                    expired.append(entry)
                else:
                    batch.append(entry)
        return batch, expired

    def settle(self, entry: Entry) -> Sequence[tuple[Ticket, int]]:
        """Forget an entry that was taken: who wanted it."""
        if self._known.get(entry.key) is entry:
            del self._known[entry.key]
        return entry.wanted_by

    def clear(self) -> list[Entry]:
        """Take everything."""
        entries = [entry for lane in self._lanes.values() for entry in lane]
        for entry in entries:
            self._leave(entry)
        return entries

    def _leave(self, entry: Entry) -> None:
        self._lanes[entry.kind].remove(entry)
        self.tokens -= entry.length
        entry.waits = False

    def _next_lane(self) -> _Lane:
        """Queries go first, because somebody waits for them; but documents are not shut out by a stream of queries."""
        queries, documents = self._lanes[InputKind.QUERY], self._lanes[InputKind.DOCUMENT]
        if queries and not (documents and self._queries_in_a_row >= _QUERIES_IN_A_ROW):
            self._queries_in_a_row += 1
            return queries
        self._queries_in_a_row = 0
        return documents
