"""Batching over calls: what goes together, what goes first, and what happens when something fails."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from embedder.batcher import Batcher
from embedder.device import Device
from embedder.domain import InputKind
from embedder.models.engine import Tokenized, Vectors
from embedder.room import BatcherClosedError, QueueFullError
from embedder.waiting import Ticket, Waiting, Work
from servicekit.errors import DeadlineExceededError, InternalError
from tests.fixtures_embedder import PATIENCE, Unheard

QUERY, DOCUMENT = InputKind.QUERY, InputKind.DOCUMENT


class Machine:
    """Runs batches when it is let, and remembers them. An input is known by its first token."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)
        self.held = False
        self.rows: Callable[[Vectors], Vectors] = lambda rows: rows
        self.fails: Callable[[list[int]], BaseException | None] = lambda _batch: None

    def __call__(self, inputs: Sequence[Tokenized], alone: bool) -> Vectors:
        batch = [item.ids[0] for item in inputs]
        self.batches.append(batch)
        self.entered.release()
        if self.held:
            assert self.leave.acquire(timeout=PATIENCE)
        if error := self.fails(batch):
            raise error
        return self.rows(np.array([[number, len(inputs)] for number in batch], dtype=np.float32))

    async def has_begun(self) -> None:
        """Wait until it has a batch in hand."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE)

    def let_go(self) -> None:
        """Let everything run from now on."""
        self.held = False
        for _ in range(100):
            self.leave.release()


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.let_go()


def batcher_of(machine: Machine, **values: object) -> Batcher:
    arguments: dict[str, object] = {
        "name": "scripted",
        "token_budget": 64,
        "max_items": 100,
        "max_tokens": 1000,
        "device": Device("test"),
        "observer": Unheard(),
        **values,
    }
    return Batcher(machine, **arguments)  # type: ignore[arg-type]


def work(number: int, length: int = 4, kind: InputKind = DOCUMENT) -> Work:
    return Work((kind, number), Tokenized([number] * length, length), kind)


async def answer(batcher: Batcher, *works: Work, deadline: float = float("inf"), wait: bool = False) -> Ticket:
    with await batcher.admit(len(works), wait=wait) as admission:
        return await batcher.answer(admission, works, deadline=deadline)


def numbers(ticket: Ticket) -> list[int]:
    return [int(row[0]) for row in ticket.rows if row is not None]


async def queued(batcher: Batcher, items: int) -> None:
    """Wait until so many inputs are admitted, the running ones included."""
    async with asyncio.timeout(PATIENCE):
        while batcher.items < items:
            await asyncio.sleep(0)


async def busy(batcher: Batcher, machine: Machine) -> "asyncio.Task[Ticket]":
    """Have the machine hold a batch of one, so that what comes now has to wait."""
    machine.held = True
    task = asyncio.create_task(answer(batcher, work(0)))
    await machine.has_begun()
    return task


async def test_each_input_gets_its_own_row_in_order(machine: Machine) -> None:
    batcher = batcher_of(machine)
    ticket = await answer(batcher, work(3, 9), work(1, 2), work(2, 5))
    assert numbers(ticket) == [3, 1, 2]
    await batcher.drain()


async def test_calls_that_wait_meanwhile_go_together(machine: Machine) -> None:
    batcher = batcher_of(machine)
    first = await busy(batcher, machine)
    others = [asyncio.create_task(answer(batcher, work(number))) for number in (1, 2, 3)]
    await queued(batcher, 4)
    machine.let_go()
    assert [numbers(ticket) for ticket in await asyncio.gather(first, *others)] == [[0], [1], [2], [3]]
    assert [sorted(batch) for batch in machine.batches] == [[0], [1, 2, 3]]
    await batcher.drain()


async def test_a_batch_keeps_to_the_budget_of_padded_tokens(machine: Machine) -> None:
    batcher = batcher_of(machine, token_budget=20)
    lengths = {number: 1 + number % 7 for number in range(1, 40)}
    await answer(batcher, *(work(number, length) for number, length in lengths.items()))
    assert len(machine.batches) > 1
    assert all(len(batch) * max(lengths[number] for number in batch) <= 20 for batch in machine.batches)
    await batcher.drain()


async def test_queries_go_ahead_of_documents_that_came_before(machine: Machine) -> None:
    batcher = batcher_of(machine, token_budget=4)
    tasks = [await busy(batcher, machine)]
    for number, kind in ((1, DOCUMENT), (2, DOCUMENT), (3, QUERY)):
        tasks.append(asyncio.create_task(answer(batcher, work(number, kind=kind))))
        await queued(batcher, number + 1)
    machine.let_go()
    await asyncio.gather(*tasks)
    assert machine.batches == [[0], [3], [1], [2]]
    await batcher.drain()


async def test_documents_are_not_shut_out_by_queries(machine: Machine) -> None:
    batcher = batcher_of(machine, token_budget=4)
    tasks = [await busy(batcher, machine), asyncio.create_task(answer(batcher, work(99)))]
    await queued(batcher, 2)
    tasks += [asyncio.create_task(answer(batcher, work(number, kind=QUERY))) for number in range(1, 11)]
    await queued(batcher, 12)
    machine.let_go()
    await asyncio.gather(*tasks)
    assert machine.batches.index([99]) <= 5
    await batcher.drain()


async def test_equal_inputs_are_run_once_while_they_wait_and_while_they_run(machine: Machine) -> None:
    batcher = batcher_of(machine)
    first = await busy(batcher, machine)
    again = [asyncio.create_task(answer(batcher, work(0))) for _ in range(3)]  # equal to the one that runs
    twice = [asyncio.create_task(answer(batcher, work(7), work(7))) for _ in range(2)]
    await queued(batcher, 8)
    machine.let_go()
    tickets = await asyncio.gather(first, *again, *twice)
    assert [numbers(ticket) for ticket in tickets] == [[0]] * 4 + [[7, 7]] * 2
    assert machine.batches == [[0], [7]]
    await answer(batcher, work(0))  # in flight is not for ever
    assert machine.batches[2:] == [[0]]
    await batcher.drain()


async def test_what_nobody_waits_for_any_more_is_not_run(machine: Machine) -> None:
    batcher = batcher_of(machine)
    first = await busy(batcher, machine)
    leaving = asyncio.create_task(answer(batcher, work(1), work(2)))
    staying = asyncio.create_task(answer(batcher, work(2), work(3)))
    await queued(batcher, 5)
    leaving.cancel()
    await asyncio.wait({leaving})
    assert batcher.waiting_tokens == 8
    machine.let_go()
    await asyncio.gather(first, staying)
    assert [sorted(batch) for batch in machine.batches] == [[0], [2, 3]]
    await batcher.drain()


async def test_work_whose_deadline_has_passed_is_not_run(machine: Machine) -> None:
    batcher = batcher_of(machine)
    first = await busy(batcher, machine)
    late = asyncio.create_task(answer(batcher, work(1), deadline=0.0))
    await queued(batcher, 2)
    machine.let_go()
    with pytest.raises(DeadlineExceededError):
        await late
    await first
    assert machine.batches == [[0]]
    await batcher.drain()


async def test_a_full_queue_refuses_with_a_time_to_come_back(machine: Machine) -> None:
    batcher = batcher_of(machine, max_items=3)
    first = await busy(batcher, machine)
    second = asyncio.create_task(answer(batcher, work(1), work(2)))
    await queued(batcher, 3)
    with pytest.raises(QueueFullError, match="3 inputs") as caught:
        await answer(batcher, work(3))
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 0
    machine.let_go()
    await asyncio.gather(first, second)
    assert numbers(await answer(batcher, work(3))) == [3]
    await batcher.drain()


async def test_a_queue_is_full_by_tokens_too(machine: Machine) -> None:
    batcher = batcher_of(machine, max_tokens=8)
    first = await busy(batcher, machine)
    second = asyncio.create_task(answer(batcher, work(1, 8)))
    await queued(batcher, 2)
    with pytest.raises(QueueFullError, match="8 tokens"):
        await answer(batcher, work(2))
    machine.let_go()
    await asyncio.gather(first, second)
    await batcher.drain()


async def test_a_queue_is_full_by_tokens_that_are_only_expected(machine: Machine) -> None:
    batcher = batcher_of(machine, max_tokens=8)
    with await batcher.admit(1, tokens=5, wait=False) as first:
        with pytest.raises(QueueFullError):
            await batcher.admit(1, tokens=4, wait=False)
        with await batcher.admit(1, tokens=3, wait=False):
            pass  # left without work, and counts no more
        await batcher.answer(first, [work(1, 2)])
        with await batcher.admit(1, tokens=8, wait=False):  # what was expected has come, and gone
            pass
    await batcher.drain()


async def test_an_answer_with_too_few_rows_fails_whose_it_is_and_nothing_hangs(machine: Machine) -> None:
    batcher = batcher_of(machine)
    machine.rows = lambda rows: rows[:-1] if len(rows) > 1 or rows[0, 0] == 2 else rows
    first = await busy(batcher, machine)
    others = [asyncio.create_task(answer(batcher, work(number))) for number in (1, 2, 3)]
    await queued(batcher, 4)
    machine.let_go()
    await first
    answered = await asyncio.gather(*others, return_exceptions=True)
    assert [type(each) for each in answered] == [Ticket, InternalError, Ticket]
    with pytest.raises(InternalError):
        await answer(batcher, work(2))  # is tried again, and does not wait for the first
    await batcher.drain()


def test_nobody_joins_an_input_whose_time_is_up() -> None:
    waiting = Waiting(64)
    waiting.add(Ticket([work(1)], deadline=0.0))
    _, (late,) = waiting.take(now=1.0)
    waiting.add(Ticket([work(1)], deadline=9.0))
    (other,), _ = waiting.take(now=1.0)
    assert other is not late
    assert [len(waiting.settle(entry)) for entry in (late, other)] == [1, 1]


async def test_what_arrives_after_the_end_fails(machine: Machine) -> None:
    batcher = batcher_of(machine)
    with await batcher.admit(1, wait=False) as admission:  # its text was being tokenized
        batcher.close()
        with pytest.raises(BatcherClosedError):
            await batcher.answer(admission, [work(1)])


async def test_a_call_larger_than_the_queue_is_let_in_when_nothing_else_waits(machine: Machine) -> None:
    batcher = batcher_of(machine, max_items=3)
    assert numbers(await answer(batcher, *map(work, range(10)))) == list(range(10))
    await batcher.drain()


async def test_who_is_patient_waits_for_room(machine: Machine) -> None:
    batcher = batcher_of(machine, max_items=1)
    first = await busy(batcher, machine)
    patient = [asyncio.create_task(answer(batcher, work(number), wait=True)) for number in (1, 2)]
    machine.let_go()
    assert [numbers(ticket) for ticket in await asyncio.gather(first, *patient)] == [[0], [1], [2]]
    await batcher.drain()


async def test_only_the_bad_input_of_a_batch_fails(machine: Machine) -> None:
    machine.fails = lambda batch: ValueError("bad") if 13 in batch else None
    batcher = batcher_of(machine)
    first = await busy(batcher, machine)
    tasks = [asyncio.create_task(answer(batcher, work(number))) for number in (12, 13, 14)]
    await queued(batcher, 4)
    machine.let_go()
    good, bad, also_good = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(good, Ticket)
    assert isinstance(also_good, Ticket)
    assert (numbers(good), numbers(also_good)) == ([12], [14])
    assert isinstance(bad, InternalError)
    assert "bad" not in bad.message
    await first
    await batcher.drain()


async def test_a_worker_that_dies_is_unhealthy_until_another_takes_its_place(machine: Machine) -> None:
    health: list[bool] = []
    machine.fails = lambda batch: SystemExit() if batch == [1] else None
    batcher = batcher_of(machine, on_health=health.append)
    with pytest.raises(InternalError):
        await answer(batcher, work(1))
    assert health[:1] == [False]
    assert numbers(await answer(batcher, work(2))) == [2]
    assert health == [False, True]
    await batcher.drain()


async def test_a_fault_in_the_queue_itself_does_not_end_the_work(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    health: list[bool] = []
    batcher = batcher_of(machine, on_health=health.append)
    take, faults = Waiting.take, [KeyError("a fault")]

    def fail_once(self: Waiting, now: float) -> object:
        if faults:
            raise faults.pop()
        return take(self, now)

    monkeypatch.setattr(Waiting, "take", fail_once)
    async with asyncio.timeout(PATIENCE):
        assert numbers(await answer(batcher, work(1))) == [1]
    assert health == [False, True]
    await batcher.drain()


async def test_what_waited_when_the_worker_died_is_still_answered(machine: Machine) -> None:
    machine.fails = lambda batch: SystemExit() if 0 in batch else None
    batcher = batcher_of(machine)
    first = await busy(batcher, machine)
    second = asyncio.create_task(answer(batcher, work(1)))
    await queued(batcher, 2)
    machine.let_go()
    with pytest.raises(InternalError):
        await first
    assert numbers(await second) == [1]
    await batcher.drain()


async def test_draining_answers_what_was_admitted_and_takes_nothing_new(machine: Machine) -> None:
    batcher = batcher_of(machine)
    first = await busy(batcher, machine)
    second = asyncio.create_task(answer(batcher, work(1)))
    await queued(batcher, 2)
    draining = asyncio.create_task(batcher.drain())
    await asyncio.sleep(0)
    with pytest.raises(BatcherClosedError):
        await answer(batcher, work(2))
    assert not draining.done()
    machine.let_go()
    assert [numbers(ticket) for ticket in await asyncio.gather(first, second)] == [[0], [1]]
    async with asyncio.timeout(PATIENCE):
        await draining


async def test_closing_fails_what_waits(machine: Machine) -> None:
    batcher = batcher_of(machine)
    first = await busy(batcher, machine)
    second = asyncio.create_task(answer(batcher, work(1)))
    await queued(batcher, 2)
    batcher.close()
    with pytest.raises(BatcherClosedError):
        await second
    machine.let_go()
    await first


async def test_two_models_take_turns_batch_by_batch(machine: Machine) -> None:
    device, other = Device("shared"), Machine()
    other.batches = machine.batches  # one list, for the order of both
    one, two = batcher_of(machine, device=device, token_budget=4), batcher_of(other, device=device, token_budget=4)
    running = await busy(one, machine)
    more = [asyncio.create_task(answer(one, work(number))) for number in (1, 2)]
    await queued(one, 3)
    waiting = [asyncio.create_task(answer(two, work(number))) for number in (5, 6)]
    await queued(two, 2)
    machine.let_go()
    await asyncio.gather(running, *waiting, *more)
    assert machine.batches == [[0], [5], [1], [6], [2]]
    await one.drain()
    await two.drain()
