"""JSON objects as protobuf Structs, and back, without silent loss."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

from trimem.client.errors import FieldViolation, InvalidArgumentError

#: Objects and arrays within each other that the store takes. Deeper ones could not even be decoded, and would fail the
#: whole batch that they are in.
MAX_LEVELS = 30

#: Integers up to here are the same as a double and as an integer.
_EXACT = 2**53


def struct_of(field: str, value: Mapping[str, Any], level: int = 1) -> Struct:
    """A Struct with this content. Raises InvalidArgumentError, naming the path, for what would arrive changed."""
    if not isinstance(value, Mapping):
        raise _refused(field, f"must be a JSON object, and is {type(value).__name__}")
    _check_level(field, level)
    fields: dict[str, Value] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise _refused(field, f"has a key that is not a string but {type(key).__name__}")
        fields[_text(field, key)] = _value(f"{field}.{key[:64]}", item, level + 1)
    return Struct(fields=fields)


def object_of(struct: Struct) -> dict[str, Any]:
    """The JSON object of a Struct. Whole numbers become int, because a Struct knows doubles only."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def json_text(value: Any) -> str:
    """A JSON value as text in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _value(path: str, value: Any, level: int) -> Value:
    match value:
        case None:
            return Value(null_value=NULL_VALUE)
        case bool():
            return Value(bool_value=value)
        case str():
            return Value(string_value=_text(path, value))
        case int() | float():
            return Value(number_value=_number(path, value))
        case Mapping():
            return Value(struct_value=struct_of(path, value, level))
        case Sequence() if not isinstance(value, bytes | bytearray):
            _check_level(path, level)
            return Value(
                list_value=ListValue(values=[_value(f"{path}[{n}]", item, level + 1) for n, item in enumerate(value)])
            )
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
