"""JSON objects as protobuf Structs, and back, without silent loss."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

from trimem.client.errors import FieldViolation, InvalidArgumentError

#: Objects and arrays within each other that the store takes. Deeper ones could not even be decoded, and would fail the
#: whole batch that they are in.
MAX_LEVELS = 30

#: Integers up to here are the same as a double and as an integer.
_EXACT = 2**53


def fill(field: str, struct: Struct, value: Mapping[str, Any]) -> None:
    """Make a Struct, which is empty and part of a message, the same as a JSON object.

    Raises InvalidArgumentError, naming the path below `field`, for what would arrive changed. Written in place, because
    protobuf copies a message that is put into another one.
    """
    struct.SetInParent()
    _fill(field, struct, value, 1)


def object_of(struct: Struct) -> dict[str, Any]:
    """The JSON object of a Struct. Whole numbers become int, because a Struct knows doubles only."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def json_text(value: Any) -> str:
    """A JSON value as text in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _fill(path: str, struct: Struct, value: Mapping[str, Any], level: int) -> None:
    if not isinstance(value, Mapping):
        raise _refused(path, f"must be a JSON object, and is {type(value).__name__}")
    _check_level(path, level)
    for key, item in value.items():
        if not isinstance(key, str):
            raise _refused(path, f"has a key that is not a string but {type(key).__name__}")
        _set(f"{path}.{key[:64]}", struct.fields[_text(path, key)], item, level + 1)


def _set(path: str, target: Value, value: Any, level: int) -> None:
    match value:
        case str():
            target.string_value = _text(path, value)
        case bool():
            target.bool_value = value
        case int() | float():
            target.number_value = _number(path, value)
        case None:
            target.null_value = NULL_VALUE
        case Mapping():
            target.struct_value.SetInParent()
            _fill(path, target.struct_value, value, level)
        case Sequence() if not isinstance(value, bytes | bytearray):
            _check_level(path, level)
            target.list_value.SetInParent()
            for number, item in enumerate(value):
                _set(f"{path}[{number}]", target.list_value.values.add(), item, level + 1)
        case _:
            raise _refused(path, f"is of the type {type(value).__name__}, which JSON does not have")


def _number(path: str, value: float) -> float:
    if isinstance(value, int) and abs(value) > _EXACT:
        raise _refused(path, "is an integer beyond 2^53, of which only some 16 digits would arrive: send a string")
    if not math.isfinite(value):
        raise _refused(path, "must be a finite number")
    return float(value)


def _text(path: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _refused(path, "has half of a surrogate pair, which is not a character") from None
    return value


def _check_level(path: str, level: int) -> None:
    if level > MAX_LEVELS:
        raise _refused(path, f"is nested more than {MAX_LEVELS} levels deep")


def _refused(field: str, description: str) -> InvalidArgumentError:
    field = field[:200].encode(errors="replace").decode()
    return InvalidArgumentError(f"{field}: {description}", violations=[FieldViolation(field, description)])


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _EXACT else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return object_of(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
    return None
