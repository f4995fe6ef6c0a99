"""Responses of many JSON objects, one a line: NDJSON."""

from collections.abc import AsyncGenerator, Callable
from typing import Self

from aiohttp import web
from google.rpc import status_pb2

from gateway.http.writing import status_json

CONTENT_TYPE = "application/x-ndjson"


class LineStream(web.StreamResponse):
    """A response whose lines come one by one. It is sent by `send`, not by aiohttp.

    What goes wrong before the first line is the HTTP status of the response. What goes wrong later can only be said in
    the body: as its last line, a google.rpc.Status, which is the shape of all errors.
    """

    def __init__(self, first: bytes | None, rest: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"Content-Type": CONTENT_TYPE})
        self._first = first
        self._rest = rest

    @classmethod
    async def begin(cls, lines: AsyncGenerator[bytes, None]) -> Self:
        """A response with these JSON texts. Waits for the first one, and raises what goes wrong until then."""
        try:
            return cls(await anext(lines, None), lines)
        except BaseException:
            await lines.aclose()
            raise

    async def send(
        self, request: web.BaseRequest, status_of: Callable[[Exception], status_pb2.Status]
    ) -> status_pb2.Status | None:
        """Send all of it, no faster than the client reads. Returns the status in its last line, if it has one."""
        try:
            await self.prepare(request)
            if self._first is None or request.method == "HEAD":
                return None
            try:
                await self.write(self._first + b"\n")
                async for line in self._rest:
                    await self.write(line + b"\n")
            except ConnectionError:  # the client has gone
                raise
            except Exception as error:
                status = status_of(error)
                await self.write(status_json(status) + b"\n")
                return status
            return None
        finally:
            await self._rest.aclose()
