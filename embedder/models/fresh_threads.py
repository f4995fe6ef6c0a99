"""A thread for each call, and none that stays."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class FreshThreads(Executor):
    """Runs every call in a thread that ends with it.

    A thread that has computed keeps its pool of OpenMP threads until it ends, which slows down all others: see Device.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._closed = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """See concurrent.futures.Executor."""
        future: Future[_T] = Future()

        def run() -> None:
            if self._closed:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except Exception as error:
                future.set_exception(error)
            except BaseException as error:  # which an event loop would take as an order to end
                future.set_exception(RuntimeError(f"ended by {error!r}"))
            else:
                future.set_result(result)

        # A daemon: what it does cannot be interrupted, and must not hold up the end of the process.
        threading.Thread(target=run, name=self._name, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Begin nothing more if `cancel_futures` is set. Waits for nobody."""
        self._closed = cancel_futures
