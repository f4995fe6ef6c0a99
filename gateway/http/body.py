"""Bodies of HTTP requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from aiohttp import HttpVersion11, web

from gateway.http.errors import BodyTooLargeError, InvalidRequestError, MediaTypeError, SlowClientError
from gateway.http.reading import BODY
from servicekit import context
from servicekit.errors import DeadlineExceededError, FieldViolation

#: There is no registered type; these are in use.
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


class BodyReader:
    """Reads bodies, and waits for them no longer than a client may take."""

    def __init__(self, *, patience: float) -> None:
        """`patience` in seconds is for a whole body, or for one line of a stream."""
        self._patience = patience

    async def read(self, request: web.BaseRequest) -> bytes:
        """All of a body of JSON. A body without a declared type is taken for JSON.

        Raises BodyTooLargeError, MediaTypeError, SlowClientError, or InvalidRequestError when it cannot be unpacked.
        """
        if not request.can_read_body:
            return b""
        _check_type(request, ("application/json",))
        if (request.content_length or 0) > request.client_max_size:
            raise _too_large(request)
        await _say_continue(request)
        return await _arriving(request, request.read, self._patience, "the body of the request")

    async def lines(self, request: web.BaseRequest) -> AsyncIterator[list[bytes]]:
        """The lines of a body of NDJSON as they come, some at a time, without blank ones. The last may lack its end.

        Nothing is read before it is asked for, so the client is held back by who works on the lines. Raises as `read`
        does; the limit on the size is for one line.
        """
        if not request.can_read_body:
            return
        _check_type(request, _LINES)
        await _say_continue(request)
        rest = bytearray()
        waited = 0.0
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            chunk = await _arriving(request, request.content.readany, self._patience - waited, "a line of the stream")
            waited += clock() - started
            rest += chunk
            if chunk:
                *complete, rest = rest.split(b"\n") if b"\n" in chunk else [rest]
            else:
                complete, rest = [rest], bytearray()
            if max(map(len, (*complete, rest))) > request.client_max_size:
                raise BodyTooLargeError(BODY, f"has a line of more than {request.client_max_size} bytes")
            if lines := [bytes(line) for line in complete if line.strip()]:
                waited = 0.0
                yield lines
            if not chunk:
                return


async def _arriving(
    request: web.BaseRequest, read: Callable[[], Awaitable[bytes]], patience: float, what: str
) -> bytes:
    """What comes of the client within its time and that of the request."""
    left = context.remaining()
    try:
        async with asyncio.timeout(patience if left is None else min(patience, left)):
            return await read()
    except TimeoutError:
        if left is not None and left < patience:
            raise DeadlineExceededError(f"{what} did not arrive before the deadline") from None
        raise SlowClientError(f"{what} did not arrive in time") from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(request) from None
    except web.RequestPayloadError:
        raise InvalidRequestError([FieldViolation(BODY, "does not match its encoding or length headers")]) from None


async def _say_continue(request: web.BaseRequest) -> None:
    """Tell a client that waits for it before it sends a large body that we want it: all else was checked."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # which tells whether the answer has begun


def _too_large(request: web.BaseRequest) -> BodyTooLargeError:
    return BodyTooLargeError(BODY, f"is larger than {request.client_max_size} bytes")


def _check_type(request: web.BaseRequest, types: Collection[str]) -> None:
    if "Content-Type" not in request.headers:
        return
    kind = request.content_type
    if kind not in types and not (types == ("application/json",) and kind.endswith("+json")):
        raise MediaTypeError(BODY, f"must be {next(iter(types))}, not {kind[:100]}")
    if (request.charset or "utf-8").lower().replace("-", "") not in {"utf8", "usascii"}:
        raise MediaTypeError(BODY, "must be UTF-8")
