"""The thread of a device, and threads that do not stay."""

import threading
import time

import pytest

from embedder.device import Device
from embedder.models.fresh_threads import FreshThreads
from tests.fixtures_embedder import PATIENCE


def test_jobs_run_in_order_in_one_thread() -> None:
    device, seen, done = Device("test"), list[tuple[int, int]](), threading.Event()
    for number in range(50):
        device.submit(lambda number=number: seen.append((number, threading.get_ident())))  # type: ignore[misc]
    device.submit(done.set)
    assert done.wait(PATIENCE)
    assert [number for number, _ in seen] == list(range(50))
    assert len({thread for _, thread in seen}) == 1
    device.close()


def test_it_knows_for_how_long_it_has_been_at_a_job() -> None:
    device, begun, go = Device("test"), threading.Event(), threading.Event()
    assert device.busy_seconds == 0
    device.submit(begun.set)
    device.submit(lambda: assert_true(go.wait(PATIENCE)))
    assert begun.wait(PATIENCE)
    first = _positive(device)
    assert _positive(device, above=first) > first
    go.set()
    device.close()
    until = time.monotonic() + PATIENCE
    while device.busy_seconds and time.monotonic() < until:
        time.sleep(0.001)
    assert device.busy_seconds == 0


def test_a_closed_device_ends_its_thread_after_what_it_was_given() -> None:
    device, ran = Device("to be closed"), list[str]()
    device.submit(lambda: ran.append("x"))
    device.close()
    for thread in threading.enumerate():
        if thread.name == "device to be closed":
            thread.join(PATIENCE)
    assert ran == ["x"]
    assert "device to be closed" not in [thread.name for thread in threading.enumerate()]


def test_calls_run_one_at_a_time_in_threads_that_end() -> None:
    threads, at_once, most = FreshThreads("fresh"), 0, 0

    def call(number: int) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.002)
        at_once -= 1
        return number

    futures = [threads.submit(call, number) for number in range(10)]
    assert [future.result(PATIENCE) for future in futures] == list(range(10))
    assert most == 1
    for thread in threading.enumerate():
        if thread.name == "fresh":
            thread.join(PATIENCE)
    assert "fresh" not in [thread.name for thread in threading.enumerate()]


def test_what_a_call_raises_reaches_who_waits() -> None:
    def fail() -> None:
        raise SystemExit("no")

    with pytest.raises(SystemExit):
        FreshThreads("fresh").submit(fail).result(PATIENCE)


def test_after_the_end_nothing_is_begun() -> None:
    threads, hold, begun = FreshThreads("fresh"), threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        hold.wait(PATIENCE)

    first = threads.submit(wait)
    assert begun.wait(PATIENCE)
    second = threads.submit(lambda: pytest.fail("was begun"))

    threads.shutdown(cancel_futures=True)
    hold.set()
    first.result(PATIENCE)
    while not second.done():
        time.sleep(0.001)
    assert second.cancelled()


def assert_true(value: bool) -> None:
    assert value


def _positive(device: Device, above: float = 0.0) -> float:
    until = time.monotonic() + PATIENCE
    while (seconds := device.busy_seconds) <= above and time.monotonic() < until:
        time.sleep(0.001)
    return seconds
