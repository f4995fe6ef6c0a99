"""JSON objects out of messages, and into them."""

import json
import math
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

from store.events import Json
from store.use_cases.event_rules import MAX_LEVELS

#: Integers up to here are the same as a double and as an integer.
_EXACT = 2**53


def object_of(value: Struct) -> Json:
    """A JSON object. Whole numbers become int, because a Struct knows doubles only and people read the database."""
    return {key: _plain(item) for key, item in value.fields.items()}


def write_object(value: Json, message: Struct, level: int = 1) -> None:
    """Write a JSON object into an empty Struct, in place: protobuf would copy one that is put into a message.

    What adopted rows nest deeper than a message can becomes JSON text.
    """
    message.SetInParent()
    for key, item in value.items():
        _write(item, message.fields[key], level + 1)


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return _number(value.number_value)
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return object_of(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
    return None


def _number(value: float) -> float | int:
    return int(value) if math.isfinite(value) and value.is_integer() and abs(value) <= _EXACT else value


def _write(value: Any, message: Value, level: int) -> None:
    match value:
        case dict() | list() if level > MAX_LEVELS:
            message.string_value = json.dumps(value, ensure_ascii=False)
        case str():
            message.string_value = value
        case dict():
            write_object(value, message.struct_value, level)
        case list():
            message.list_value.SetInParent()
            for item in value:
                _write(item, message.list_value.values.add(), level + 1)
        case None:
            message.null_value = NULL_VALUE
        case bool():
            message.bool_value = value
        case _:
            _write_number(value, message)


def _write_number(value: float, message: Value) -> None:
    """A number, or its digits where it is too large for a double: adopted rows may hold such."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isfinite(number):
        message.number_value = number
    else:
        message.string_value = str(value)
