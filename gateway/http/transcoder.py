"""HTTP/JSON requests turned into RPCs and answers back into JSON: one class for all bindings."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Any

import grpc
from aiohttp import web
from google.protobuf.message_factory import GetMessageClass

from gateway.auth.scopes import scope_of
from gateway.backends import Backend
from gateway.calls import own_error, time_left
from gateway.http.admission import ADMISSION
from gateway.http.bindings import Binding, bindings_of
from gateway.http.body import BodyReader
from gateway.http.line_stream import LineStream
from gateway.http.request_reader import RequestReader
from gateway.http.routes import Route
from gateway.http.upload import Upload
from gateway.http.writing import json_response, message_json
from gateway.limits.texts import text_counter
from gateway.silence import bounded_silence
from servicekit.context import REQUEST_ID_KEY, request_id
from servicekit.off_loop import off_loop


def transcoded_routes(backends: Iterable[Backend], bodies: BodyReader, *, longest: float) -> Iterator[Route]:
    """A route for each binding of the public services. A stream is ended after `longest` seconds of silence."""
    for backend in backends:
        for service in backend.services:
            for binding in bindings_of(service):
                yield Route(
                    method=binding.http_method,
                    template=binding.template,
                    endpoint=_Transcoder(binding, backend, bodies, longest).answer,
                    scope=scope_of(binding.rpc),
                    is_stream=binding.rpc.client_streaming or binding.rpc.server_streaming,
                )


class _Transcoder:
    """Answers the HTTP requests of one binding."""

    def __init__(self, binding: Binding, backend: Backend, bodies: BodyReader, longest: float) -> None:
        self._binding = binding
        self._backend = backend.name
        self._bodies = bodies
        self._longest = longest
        self._reader = RequestReader(binding)
        self._response_class = GetMessageClass(binding.rpc.output_type)
        self._count_texts = text_counter(binding.rpc)
        self._uploads = bool(binding.rpc.client_streaming)
        self._downloads = bool(binding.rpc.server_streaming)
        channel = backend.channel
        begin = {
            (False, False): channel.unary_unary,
            (True, False): channel.stream_unary,
            (False, True): channel.unary_stream,
            (True, True): channel.stream_stream,
        }[self._uploads, self._downloads]
        # Messages are bytes to gRPC, so that they are decoded in the right thread.
        self._begin: Any = begin(binding.rpc_path)

    async def answer(self, request: web.BaseRequest, variables: dict[str, str]) -> web.StreamResponse:
        """Read the request, make the call, write the answer."""
        if self._downloads:
            return await LineStream.begin(self._answers(request, variables))
        try:
            if self._uploads:
                async with bounded_silence(self._longest) as heard, self._upload(request, heard) as call:
                    response: bytes = await call
            else:
                response = await self._begin(await self._message(request, variables), **_options())
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error
        return json_response(await self._json(response))

    async def _answers(self, request: web.BaseRequest, variables: dict[str, str]) -> AsyncGenerator[bytes, None]:
        """The answers of a call as JSON texts."""
        try:
            async with AsyncExitStack() as stack:
                if self._uploads:
                    call = await stack.enter_async_context(self._upload(request))
                else:
                    call = self._begin(await self._message(request, variables), **_options())
                async for text in await stack.enter_async_context(aclosing(self._texts(call))):
                    yield text
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error

    async def _texts(self, call: Any) -> AsyncGenerator[bytes, None]:
        responses = aiter(call)
        try:
            while True:
                async with bounded_silence(self._longest):
                    response = await anext(responses, None)
                if response is None:
                    return
                yield await self._json(response)
        finally:
            call.cancel()  # without effect when it is over

    def _error(self, error: grpc.aio.AioRpcError) -> Exception:
        return own_error(error, self._backend) or error

    async def _message(self, request: web.BaseRequest, variables: dict[str, str]) -> bytes:
        """The one message of a request."""
        query = _query(request)
        body = await self._bodies.read(request)
        message = await off_loop(len(body) + len(query), lambda: self._reader.message(body, query, variables))
        if self._count_texts is not None:
            request[ADMISSION].charge_texts(await off_loop(len(message), partial(self._count_texts, message)))
        return message

    def _upload(self, request: web.BaseRequest, heard: Callable[[], None] = lambda: None) -> Upload:
        """A call that is given the messages of a request; `heard` is called for each of them."""
        self._reader.refuse_query(_query(request))
        return Upload(self._begin(**_options()), self._messages(request, heard))

    async def _messages(self, request: web.BaseRequest, heard: Callable[[], None]) -> AsyncGenerator[bytes, None]:
        count = 0
        admission = request[ADMISSION]
        async for lines in self._bodies.lines(request):
            following = partial(next, self._reader.messages(lines, count), None)
            size = sum(map(len, lines))
            while (message := await off_loop(size, following)) is not None:
                heard()
                admission.check_again()
                if self._count_texts is not None:
                    await admission.pace_text()
                yield message
            count += len(lines)

    async def _json(self, response: bytes) -> bytes:
        field = self._binding.response_body
        return await off_loop(len(response), lambda: message_json(self._response_class.FromString(response), field))


def _query(request: web.BaseRequest) -> str:
    return request.raw_path.partition("?")[2].partition("#")[0]


def _options() -> dict[str, Any]:
    return {"timeout": time_left(None), "metadata": ((REQUEST_ID_KEY, request_id.get()),)}
