"""The threads of a device."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from embedder.device import Device, Run
from tests.fixtures_embedder import PATIENCE


class Work:
    """A turn that can be held, and knows how it was run."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.alone: bool | None = None
        self.thread = 0

    def __call__(self) -> Run:
        return self.run

    def run(self, alone: bool) -> None:
        self.alone, self.thread = alone, threading.get_ident()
        self.begun.set()
        assert self.go.wait(PATIENCE)


@pytest.fixture
def device() -> Iterator[Device]:
    made = Device("test", workers=2)
    yield made
    made.close()


def test_turns_of_one_worker_are_taken_in_order_and_have_all_threads() -> None:
    device, seen, last = Device("test"), list[tuple[int, bool, int]](), Work()

    def turn(number: int) -> Run:
        return lambda alone: seen.append((number, alone, threading.get_ident()))

    for number in range(50):
        device.submit(partial(turn, number))
    device.submit(last)
    assert last.begun.wait(PATIENCE)
    assert [(number, alone) for number, alone, _ in seen] == [(number, True) for number in range(50)]
    assert {thread for _, _, thread in seen} == {last.thread}
    last.go.set()
    device.close()


def test_what_comes_alone_has_all_threads_and_is_waited_for(device: Device) -> None:
    first, second = Work(), Work()
    device.submit(first)
    assert first.begun.wait(PATIENCE)
    device.submit(second)
    assert not second.begun.wait(0.05)
    first.go.set()
    assert second.begun.wait(PATIENCE)
    second.go.set()
    assert (first.alone, second.alone) == (True, True)
    assert first.thread == second.thread  # no other worker ever computes with several threads


def test_what_waits_together_is_run_side_by_side(device: Device) -> None:
    before, works = Work(), [Work() for _ in range(3)]
    device.submit(before)
    assert before.begun.wait(PATIENCE)
    for work in works:
        device.submit(work)
    before.go.set()
    for work in works[:2]:
        assert work.begun.wait(PATIENCE)
    assert not works[2].begun.is_set()
    assert [work.alone for work in works[:2]] == [False, False]
    works[0].go.set()
    assert works[2].begun.wait(PATIENCE)
    assert works[2].alone is False  # the second is still at work
    for work in works:
        work.go.set()


def test_a_turn_that_has_nothing_to_run_ends_at_once(device: Device) -> None:
    work = Work()
    device.submit(lambda: None)
    device.submit(work)
    assert work.begun.wait(PATIENCE)
    work.go.set()


def test_it_knows_for_how_long_the_oldest_turn_has_lasted(device: Device) -> None:
    work = Work()
    assert device.busy_seconds == 0
    device.submit(work)
    assert work.begun.wait(PATIENCE)
    first = _positive(device)
    assert _positive(device, above=first) > first
    work.go.set()
    until = time.monotonic() + PATIENCE
    while device.busy_seconds and time.monotonic() < until:
        time.sleep(0.001)
    assert device.busy_seconds == 0


def test_a_closed_device_ends_its_threads_after_what_it_was_given() -> None:
    device, works = Device("to be closed", workers=2), [Work(), Work(), Work()]
    for work in works:
        work.go.set()
        device.submit(work)
    device.close()
    for thread in threading.enumerate():
        if thread.name == "device to be closed":
            thread.join(PATIENCE)
    assert all(work.begun.is_set() for work in works)
    assert "device to be closed" not in [thread.name for thread in threading.enumerate()]


def test_a_turn_that_raises_does_not_end_the_thread(device: Device) -> None:
    def fail() -> None:
        raise SystemExit

    work = Work()
    device.submit(fail)
    device.submit(work)
    assert work.begun.wait(PATIENCE)
    work.go.set()


def _positive(device: Device, above: float = 0.0) -> float:
    until = time.monotonic() + PATIENCE
    while (seconds := device.busy_seconds) <= above and time.monotonic() < until:
        time.sleep(0.001)
    return seconds
