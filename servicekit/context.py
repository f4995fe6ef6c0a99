"""What a call brought along: its request id and its deadline, which every call that it causes takes on, and its key."""

import re
import time
import uuid
from contextvars import ContextVar
from typing import TypedDict

from servicekit.errors import DeadlineExceededError

REQUEST_ID_KEY = "x-request-id"

#: Kept back of the caller's time for sending the answer.
DEADLINE_MARGIN_SECONDS = 0.02

_PLAIN = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
#: `time.monotonic()` after which nobody waits for the answer; None without a deadline.
deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
#: The name of the caller's API key, for logs and metrics; empty where there are no keys.
key_name: ContextVar[str] = ContextVar("key_name", default="")


class CallOptions(TypedDict):
    """Keyword arguments for a call of a generated stub."""

    timeout: float
    metadata: tuple[tuple[str, str], ...]


def accept_request_id(offered: object) -> str:
    """The caller's request id when it is safe to log and to send on, else a new one."""
    if isinstance(offered, str) and _PLAIN.fullmatch(offered):
        return offered
    return uuid.uuid4().hex


def remaining() -> float | None:
    """Seconds until the caller's deadline, or None without one."""
    at = deadline.get()
    return None if at is None else at - time.monotonic()


def outgoing(timeout: float) -> CallOptions:
    """Options for a call made on behalf of the current one: `stub.Embed(request, **outgoing(10))`.

    The call gets `timeout` seconds, or what is left of the caller's deadline if that is less, and the caller's
    request id. Raises DeadlineExceededError when nothing is left.
    """
    left = remaining()
    if left is not None:
        timeout = min(timeout, left - DEADLINE_MARGIN_SECONDS)
        if timeout <= 0:
            raise DeadlineExceededError("the deadline passed before a needed call could be made")
    identity = request_id.get()
    return CallOptions(timeout=timeout, metadata=((REQUEST_ID_KEY, identity),) if identity else ())
