"""Bodies of HTTP requests."""

import asyncio

from aiohttp import web

from gateway.http.errors import BodyTooLargeError, InvalidRequestError, MediaTypeError
from gateway.http.reading import BODY
from servicekit import context
from servicekit.errors import DeadlineExceededError, FieldViolation


async def read_body(request: web.Request) -> bytes:
    """All of the body. Raises BodyTooLargeError, MediaTypeError, or InvalidRequestError when it cannot be unpacked.

    A body without a declared type is taken for JSON.
    """
    try:
        async with asyncio.timeout(context.remaining()):
            body = await request.read()
    except TimeoutError:
        raise DeadlineExceededError("the body of the request did not arrive in time") from None
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLargeError(BODY, f"is larger than {request.client_max_size} bytes") from None
    except web.RequestPayloadError:
        raise InvalidRequestError([FieldViolation(BODY, "does not match its encoding or length headers")]) from None
    if body and "Content-Type" in request.headers:
        _check_type(request)
    return body


def _check_type(request: web.Request) -> None:
    if request.content_type != "application/json" and not request.content_type.endswith("+json"):
        raise MediaTypeError(BODY, f"must be application/json, not {request.content_type[:100]}")
    if (request.charset or "utf-8").lower().replace("-", "") not in {"utf8", "usascii"}:
        raise MediaTypeError(BODY, "must be UTF-8")
