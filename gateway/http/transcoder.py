"""HTTP/JSON requests turned into RPCs and answers back into JSON: one class for all bindings."""

from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from aiohttp import web
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.backends import Backend
from gateway.calls import own_error, time_left
from gateway.http.bindings import Binding, bindings_of
from gateway.http.body import read_body
from gateway.http.errors import InvalidRequestError
from gateway.http.json_text import Json, JsonError, parse_json
from gateway.http.query import decode, place, query_tree, variable_value
from gateway.http.reading import BODY, read_field, read_message
from gateway.http.routes import Route
from gateway.http.writing import json_response, message_json
from servicekit.context import REQUEST_ID_KEY, request_id
from servicekit.errors import FieldViolation
from servicekit.off_loop import off_loop


def transcoded_routes(backends: Iterable[Backend]) -> Iterator[Route]:
    """A route for each binding of the public services."""
    for backend in backends:
        for service in backend.services:
            for binding in bindings_of(service):
                yield Route(binding.http_method, binding.template, _Transcoder(binding, backend).answer)


class _Transcoder:
    """Answers the HTTP requests of one binding."""

    def __init__(self, binding: Binding, backend: Backend) -> None:
        self._binding = binding
        self._backend = backend.name
        self._request_class = GetMessageClass(binding.rpc.input_type)
        self._response_class = GetMessageClass(binding.rpc.output_type)
        self._variables = {name: binding.fields_of(name) for name in binding.template.variables}
        # The response stays bytes until it is in the right thread.
        self._call: Any = backend.channel.unary_unary(binding.rpc_path)

    async def answer(self, request: web.Request, variables: dict[str, str]) -> web.Response:
        """Read the request, make the call, write the answer."""
        body = await read_body(request)
        query = request.raw_path.partition("?")[2].partition("#")[0]
        message = await off_loop(len(body) + len(query), lambda: self._request(body, query, variables))
        try:
            response: bytes = await self._call(
                message, timeout=time_left(None), metadata=((REQUEST_ID_KEY, request_id.get()),)
            )
        except grpc.aio.AioRpcError as error:
            if own := own_error(error, self._backend):
                raise own from error
            raise
        return json_response(await off_loop(len(response), lambda: self._response(response)))

    def _request(self, body: bytes, query: str, variables: dict[str, str]) -> bytes:
        """The serialized request message. What the path says wins over the body."""
        message = self._request_class()
        self._read_body(body, message)
        elsewhere: dict[str, Json] = {}
        for name, raw in variables.items():
            fields = self._variables[name]
            place(elsewhere, fields, variable_value(fields[-1], decode(raw, name)))
        taken = {fields[0].name for fields in self._variables.values()}
        kind = self._binding.rpc.input_type
        # With the whole request in the body nothing is left for the query string.
        taken.update(kind.fields_by_name if self._binding.body == "*" else [self._binding.body])
        elsewhere.update(query_tree(query, kind, taken=taken))
        if elsewhere:
            other = self._request_class()
            read_message(elsewhere, other)
            message.MergeFrom(other)
        return message.SerializeToString()

    def _read_body(self, body: bytes, message: Message) -> None:
        if not body:  # the same as `{}`
            return
        if not self._binding.body:
            description = f"is not read by {self._binding.http_method} {self._binding.template.text}"
            raise InvalidRequestError([FieldViolation(BODY, description)])
        try:
            tree = parse_json(body)
        except JsonError as error:
            raise InvalidRequestError([FieldViolation(BODY, str(error))]) from None
        if self._binding.body == "*":
            read_message(tree, message)
        else:
            read_field(tree, message, self._binding.rpc.input_type.fields_by_name[self._binding.body])

    def _response(self, response: bytes) -> bytes:
        return message_json(self._response_class.FromString(response), self._binding.response_body)
