"""Messages and errors written as HTTP responses."""

import math

from aiohttp import web
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from gateway.http.errors import http_status
from gateway.http.json_text import Json
from gateway.http.message_text import any_tree, encode, field_text, message_text


def message_json(message: Message, field: str = "") -> bytes:
    """A message, or one field of it, as JSON in UTF-8."""
    return (field_text(message, field) if field else message_text(message)).encode("utf-8")


def json_response(body: bytes) -> web.Response:
    """A successful response."""
    return web.Response(body=body, content_type="application/json")


def error_response(status: status_pb2.Status, http: int | None = None) -> web.Response:
    """A failed response: google.rpc.Status as JSON, under its standard HTTP status unless another one is given."""
    return failed_response(status_json(status), status, http)


def failed_response(body: bytes, status: status_pb2.Status, http: int | None) -> web.Response:
    """A failed response with the body that its path has for errors."""
    code = http_status(status.code) if http is None else http
    response = web.Response(body=body, status=code, content_type="application/json")
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(retry):
            response.headers["Retry-After"] = str(max(1, math.ceil(retry.retry_delay.ToTimedelta().total_seconds())))
    return response


def status_json(status: status_pb2.Status) -> bytes:
    """A google.rpc.Status as JSON."""
    details = [any_tree(detail) for detail in status.details]
    return json_text({"code": status.code, "message": status.message, "details": details})


def json_text(tree: Json) -> bytes:
    """A JSON value as compact UTF-8."""
    return encode(tree).encode("utf-8")
