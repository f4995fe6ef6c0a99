"""Connections that no client can keep open by being slow, and HTTP errors before there is a request."""

import asyncio
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from gateway.http.errors import HeadersTooLargeError, NotHttpError
from gateway.http.front import REQUEST_ID_HEADER
from gateway.http.writing import error_response, status_json
from servicekit.context import accept_request_id
from servicekit.errors import InternalError, InvalidArgumentError, TrimemError
from servicekit.status import to_status

#: Bytes a second that a client must read when there is much to read.
_SLOWEST = 32 * 1024


class Connection(web.RequestHandler):
    """aiohttp's protocol of one connection, with limits that it does not have.

    It ends connections that idle, and limits each header. Here the headers of a request must come whole within
    `patience` seconds and all of them must not exceed `max_header_bytes`; and of what is written the client must read
    all in any `patience` seconds, or at least _SLOWEST bytes a second, whether the response is finished or not. Bodies
    are the business of who reads them.
    """

    __slots__ = (
        "_crowd",
        "_header_bytes",
        "_header_timer",
        "_max_header_bytes",
        "_patience",
        "_unread_bytes",
        "_write_timer",
    )

    def __init__(self, manager: "ConnectionServer", *, max_header_bytes: int, patience: float, **options: Any) -> None:
        super().__init__(manager, max_line_size=max_header_bytes, max_field_size=max_header_bytes, **options)
        self._crowd = manager
        self._max_header_bytes = max_header_bytes
        self._patience = patience
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._crowd.is_full():
            cast("asyncio.Transport", transport).abort()
            return
        # `pause_writing` comes when the client does not take everything at once, `resume_writing` when all is gone.
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=1, low=0)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # aiohttp's own mark of a connection that waits for a request. Other bytes are those of a body.
        if self._waiter is None or self._waiter.done():
            self._forget_headers()
        elif data:
            self._header_bytes += len(data)
            if self._header_timer is None:
                self._header_timer = self._loop.call_later(self._patience, self._abort, self.transport)
            if self._header_bytes > self._max_header_bytes:
                self._refuse_headers()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._expect_reading(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_headers()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what the client sent
    ) -> web.StreamResponse:
        """The answer to bytes that are no HTTP request. The front answers for its own faults."""
        if request.writer.output_size > 0 or isinstance(exc, ConnectionError):
            raise ConnectionError("the client has gone, or has part of an answer")
        error: InvalidArgumentError | InternalError
        if isinstance(exc, LineTooLong):
            error, status = HeadersTooLargeError(self._max_header_bytes), 431
        elif status == 400:
            error = NotHttpError()
        else:
            structlog.get_logger("http").error("unexpected", exc_info=exc)
            error, status = InternalError(), 500
        identity = self._refused(error, status)
        response = error_response(to_status(error, identity), status)
        response.headers[REQUEST_ID_HEADER] = identity
        response.force_close()
        return response

    def log_exception(self, *args: Any, exc_info: BaseException | None = None, **options: Any) -> None:
        # A body that breaks off while nobody reads it any more is the client's affair, and comes with its bytes.
        if not isinstance(exc_info, web.RequestPayloadError):
            super().log_exception(*args, exc_info=exc_info, **options)

    def _refuse_headers(self) -> None:
        """Answer while the headers go on: aiohttp knows of no request yet."""
        if self.transport is not None:
            error = HeadersTooLargeError(self._max_header_bytes)
            identity = self._refused(error, 431)
            body = status_json(to_status(error, identity))
            head = (
                "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\n"
                f"{REQUEST_ID_HEADER}: {identity}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
        self._forget_headers()
        self.force_close()

    def _refused(self, error: TrimemError, status: int) -> str:
        """Write a line without the bytes that came. Returns a request id: there is no request that could bring one."""
        identity = accept_request_id(None)
        peer = None if self.transport is None else self.transport.get_extra_info("peername")
        structlog.get_logger("http").info(
            "refused", request_id=identity, code=status, reason=error.reason, peer=peer and peer[0]
        )
        return identity

    def _forget_headers(self) -> None:
        self._header_bytes = 0
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _expect_reading(self, transport: asyncio.Transport) -> None:
        self._unread_bytes = transport.get_write_buffer_size()
        self._write_timer = self._loop.call_later(self._patience, self._check_reading, transport)

    def _check_reading(self, transport: asyncio.Transport) -> None:
        if self._unread_bytes - transport.get_write_buffer_size() < self._patience * _SLOWEST:
            self._abort(transport)
        else:
            self._expect_reading(transport)

    @staticmethod
    def _abort(transport: asyncio.Transport | None) -> None:
        # Not `close`, which would wait for the client to read what is left.
        if transport is not None:
            transport.abort()


class ConnectionServer(web.Server):
    """Makes a Connection of each connection that is accepted."""

    def __init__(self, handler: Any, *, max_connections: int, max_body_bytes: int, connection: dict[str, Any]) -> None:
        """`connection` are the keyword arguments of Connection."""
        super().__init__(
            handler,
            request_factory=self._request,
            handler_cancellation=True,  # a client that has gone cancels the call that it caused
        )
        self._max_connections = max_connections
        self._was_full = False
        self._max_body_bytes = max_body_bytes
        self._options = connection

    def is_full(self) -> bool:
        """Whether there are as many connections as there may be. Says so in the log, once each time that it happens."""
        full = len(self._connections) >= self._max_connections
        if full and not self._was_full:
            structlog.get_logger("http").warning(
                "too many connections: further ones are closed", limit=self._max_connections
            )
        self._was_full = full
        return full

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._options)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=self._max_body_bytes
        )
