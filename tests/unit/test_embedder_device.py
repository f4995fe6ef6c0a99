"""The thread of a device, and threads that do not stay."""

import threading
import time
from concurrent.futures import CancelledError

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


def test_calls_run_in_threads_that_end() -> None:
    threads = FreshThreads("fresh")
    futures = [threads.submit(threading.current_thread) for _ in range(10)]
    used = {future.result(PATIENCE) for future in futures}
    assert len(used) == 10
    for thread in used:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in used)


def test_what_a_call_raises_reaches_who_waits() -> None:
    def fail(error: BaseException) -> None:
        raise error

    with pytest.raises(KeyError):
        FreshThreads("fresh").submit(fail, KeyError("x")).result(PATIENCE)
    with pytest.raises(RuntimeError, match="SystemExit"):  # an event loop would end with it
        FreshThreads("fresh").submit(fail, SystemExit("no")).result(PATIENCE)


def test_a_job_that_raises_does_not_end_the_thread() -> None:
    device, done = Device("test"), threading.Event()

    def fail() -> None:
        raise SystemExit

    device.submit(fail)
    device.submit(done.set)
    assert done.wait(PATIENCE)
    device.close()


def test_after_the_end_nothing_is_begun() -> None:
    threads = FreshThreads("fresh")
    threads.shutdown(cancel_futures=True)
    future = threads.submit(lambda: pytest.fail("was begun"))
    with pytest.raises(CancelledError):
        future.result(PATIENCE)


def assert_true(value: bool) -> None:
    assert value


def _positive(device: Device, above: float = 0.0) -> float:
    until = time.monotonic() + PATIENCE
    while (seconds := device.busy_seconds) <= above and time.monotonic() < until:
        time.sleep(0.001)
    return seconds
