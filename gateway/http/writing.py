"""Messages and errors written as HTTP responses."""

import json
import math
from base64 import b64encode

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from gateway.http.errors import http_status
from gateway.http.json_text import Json


def message_json(message: Message, field: str = "") -> bytes:
    """A message, or one field of it, as JSON.

    Field names are those of the proto, in snake_case. Zeros, empty strings and empty lists are written, so that a
    client finds every field; unset messages and unset optional fields are left out. 32-bit floats have as few digits
    as bring the same float back.
    """
    tree = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json_text(tree.get(field) if field else tree)


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
    details = [_detail(detail) for detail in status.details]
    return json_text({"code": status.code, "message": status.message, "details": details})


def _detail(detail: Any) -> Json:
    try:
        return json_format.MessageToDict(detail, preserving_proto_field_name=True)
    except Exception:  # a type that this process does not know, or bytes that are not of the type they claim
        return {"@type": detail.type_url, "value": b64encode(detail.value).decode("ascii")}


def json_text(tree: Json) -> bytes:
    """A JSON value as compact UTF-8."""
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
