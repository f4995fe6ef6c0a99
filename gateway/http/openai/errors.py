"""Errors as clients of OpenAI expect them."""

from aiohttp import web
from google.rpc import error_details_pb2, status_pb2

from gateway.http.errors import http_status
from gateway.http.json_text import Json
from gateway.http.writing import failed_response, json_text
from servicekit.errors import NotFoundError

#: The rest of what is below 500 is `invalid_request_error`.
_TYPES = {403: "permission_error", 408: "timeout_error", 429: "rate_limit_error"}

#: The codes that OpenAI has for what our reasons say more exactly.
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


class ModelNotFoundError(NotFoundError):
    """No model has this name."""

    reason = "MODEL_NOT_FOUND"


def openai_error(status: status_pb2.Status, http: int | None) -> web.Response:
    """A google.rpc.Status as `{"error": {message, type, param, code}}`."""
    code = http_status(status.code) if http is None else http
    reason, violations = _details(status)
    body: Json = {
        "message": "; ".join(f"{field}: {description}" for field, description in violations) or status.message,
        "type": _TYPES.get(code, "server_error" if code >= 500 else "invalid_request_error"),
        "param": violations[0][0] if violations else "model" if reason == ModelNotFoundError.reason else None,
        "code": _CODES.get(code, reason.lower() or None),
    }
    return failed_response(json_text({"error": body}), status, http)


def _details(status: status_pb2.Status) -> tuple[str, list[tuple[str, str]]]:
    """The reason, and the fields that are wrong with what is wrong with them."""
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        if not detail.Unpack(info):
            detail.Unpack(bad_request)
    return info.reason, [(_field(each.field), each.description) for each in bad_request.field_violations]


def _field(name: str) -> str:
    """The name in OpenAI's API of a field of EmbedRequest."""
    return "input" + name.removeprefix("inputs") if name.startswith("inputs") else name
