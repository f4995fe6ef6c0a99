"""HTTP/JSON requests turned into RPCs and answers back into JSON: one class for all bindings."""

from collections.abc import AsyncGenerator, Iterable, Iterator
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
from servicekit.context import REQUEST_ID_KEY, request_id
from servicekit.off_loop import off_loop


def transcoded_routes(backends: Iterable[Backend], bodies: BodyReader) -> Iterator[Route]:
    """A route for each binding of the public services."""
    for backend in backends:
        for service in backend.services:
            for binding in bindings_of(service):
                yield Route(
                    method=binding.http_method,
                    template=binding.template,
                    endpoint=_Transcoder(binding, backend, bodies).answer,
                    scope=scope_of(binding.rpc),
                    is_stream=binding.rpc.client_streaming or binding.rpc.server_streaming,
                )


class _Transcoder:
    """Answers the HTTP requests of one binding."""

    def __init__(self, binding: Binding, backend: Backend, bodies: BodyReader) -> None:
        self._binding = binding
        self._backend = backend.name
        self._bodies = bodies
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
        call, upload = await self._call(request, variables)
        if self._downloads:
            return await LineStream.begin(self._lines(call, upload))
        try:
            response: bytes = await (upload.answer() if upload else call)
        except grpc.aio.AioRpcError as error:
            if own := own_error(error, self._backend):
                raise own from error
            raise
        return json_response(await self._json(response))

    async def _call(self, request: web.BaseRequest, variables: dict[str, str]) -> tuple[Any, Upload | None]:
        query = request.raw_path.partition("?")[2].partition("#")[0]
        if self._uploads:
            self._reader.refuse_query(query)
            call = self._begin(**_options())
            return call, Upload(call, self._messages(request))
        body = await self._bodies.read(request)
        message = await off_loop(len(body) + len(query), lambda: self._reader.message(body, query, variables))
        if self._count_texts is not None:
            request[ADMISSION].charge_texts(self._count_texts(message))
        return self._begin(message, **_options()), None

    async def _messages(self, request: web.BaseRequest) -> AsyncGenerator[bytes, None]:
        count = 0
        admission = request[ADMISSION]
        async for lines in self._bodies.lines(request):
            following = partial(next, self._reader.messages(lines, count), None)
            size = sum(map(len, lines))
            while (message := await off_loop(size, following)) is not None:
                admission.check_again()
                if self._count_texts is not None:
                    await admission.pace_text()
                yield message
            count += len(lines)

    async def _lines(self, call: Any, upload: Upload | None) -> AsyncGenerator[bytes, None]:
        """The answers of a call as JSON texts."""
        try:
            async for response in upload.answers() if upload else call:
                yield await self._json(response)
        except grpc.aio.AioRpcError as error:
            if own := own_error(error, self._backend):
                raise own from error
            raise
        finally:
            call.cancel()  # without effect when it is over

    async def _json(self, response: bytes) -> bytes:
        field = self._binding.response_body
        return await off_loop(len(response), lambda: message_json(self._response_class.FromString(response), field))


def _options() -> dict[str, Any]:
    return {"timeout": time_left(None), "metadata": ((REQUEST_ID_KEY, request_id.get()),)}
