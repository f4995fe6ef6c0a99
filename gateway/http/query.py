"""Query strings and path variables, brought into the shape of the JSON of a request."""

from collections.abc import Container
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.http.errors import InvalidRequestError
from gateway.http.expectations import well_known, wrapped
from gateway.http.json_text import Json, JsonError, parse_json
from gateway.http.reading import find_field, is_plain_message
from servicekit.errors import FieldViolation

_AS_TEXT = {"Timestamp", "Duration", "FieldMask"}


def decode(raw: str, name: str) -> str:
    """A percent-encoded text. Raises InvalidRequestError naming `name` when it is not UTF-8."""
    try:
        return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeDecodeError:
        raise _wrong(name, "is not valid UTF-8") from None


def query_tree(query: str, kind: Descriptor, *, taken: Container[str]) -> dict[str, Json]:
    """The JSON object that a query string means for a message.

    `a.b=1` sets field `b` of message `a`, a repeated scalar is given several times, times and durations as in JSON,
    and other messages as JSON text. `taken` are the top-level fields that come from elsewhere. Raises
    InvalidRequestError.
    """
    tree: dict[str, Json] = {}
    for name, values in _parameters(query).items():
        path = _resolve(kind, name)
        if not path or path[0].name in taken:
            raise _wrong(name or "query", "is not a query parameter of this path")
        place(tree, path, _value(path[-1], values, ".".join(field.name for field in path)))
    return tree


def place(tree: dict[str, Json], path: list[FieldDescriptor], value: Json) -> None:
    """Put a value into a JSON object at a path of fields. Raises InvalidRequestError where there is one."""
    *parents, last = path
    for field in parents:
        inner = tree.setdefault(field.name, {})
        if not isinstance(inner, dict):  # the parent was given as JSON text
            raise _wrong(field.name, "is given twice")
        tree = inner
    if last.name in tree:
        raise _wrong(last.name, "is given twice")
    tree[last.name] = value


def variable_value(field: FieldDescriptor, text: str) -> Json:
    """The JSON value that the text of a path variable or a query parameter means for one element of a field.

    Texts that do not fit are left as they are, for the reader of the JSON to refuse. Raises JsonError.
    """
    if is_plain_message(field) or (well_known(field) not in _AS_TEXT and wrapped(field).message_type):
        return parse_json(text)
    if wrapped(field).cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    return text


def _value(field: FieldDescriptor, texts: list[str], path: str) -> Json:
    if len(texts) > 1 and not field.is_repeated:
        raise _wrong(path, "is given more than once")
    try:
        values: list[Any] = [variable_value(field, text) for text in texts]
    except JsonError as error:
        raise _wrong(path, str(error)) from None
    return values if field.is_repeated else values[0]


def _parameters(query: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.replace("+", " ").partition("=")
        key = decode(name, "query")
        found.setdefault(key, []).append(decode(value, key))
    return found


def _resolve(kind: Descriptor, name: str) -> list[FieldDescriptor]:
    """The fields that a dotted name leads through, or an empty list."""
    path: list[FieldDescriptor] = []
    inside: Descriptor | None = kind
    for part in name.split("."):
        field = find_field(inside, part) if inside else None
        if field is None:
            return []
        path.append(field)
        inside = field.message_type if is_plain_message(field) and not field.is_repeated else None
    return path


def _wrong(field: str, description: str) -> InvalidRequestError:
    return InvalidRequestError([FieldViolation(field[:100], description)])
