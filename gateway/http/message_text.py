"""Messages as JSON text.

`google.protobuf.json_format` makes a Python object of each number and then text of it, 7 ms for a vector of 768. Here
the text is made at once, of a plan for each type of message; well-known types but JSON's own are still its business.
"""

import json
import math
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.http.expectations import well_known
from gateway.http.json_text import Json

#: Writes one element of a field.
_Write: TypeAlias = Callable[[Any], str]

_MAX_FLOAT = (2 - 2**-23) * 2**127
_SPECIAL = {math.inf: '"Infinity"', -math.inf: '"-Infinity"'}

encode: _Write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def message_text(message: Message) -> str:
    """A message as JSON.

    Field names are those of the proto, in snake_case. Zeros, empty strings and empty lists are written, so that a
    client finds every field; unset messages and unset optional fields are left out. A 32-bit float has as few digits as
    bring it back, those of a list nine if any of them needs more than six.
    """
    return "{" + ",".join(_fields(message)) + "}"


def field_text(message: Message, name: str) -> str:
    """One field of a message as JSON; null when it is not set."""
    field = cast("Descriptor", message.DESCRIPTOR).fields_by_name[name]
    if field.has_presence and not message.HasField(name):
        return "null"
    return _whole(field)(getattr(message, name))


def packed_floats_text(packed: bytes) -> str:
    """A JSON array of little-endian 32-bit floats that are finite. Nine digits bring each of them back.

    Raises ValueError for other floats.
    """
    count = len(packed) // 4
    text = ("%.9g," * count) % struct.unpack(f"<{count}f", packed)
    if "n" in text:  # nan or inf
        raise ValueError("JSON has finite numbers only")
    return f"[{text[:-1]}]"


def _fields(message: Message) -> Iterator[str]:
    for name, key, has_presence, write in _plan(message.DESCRIPTOR):
        if not has_presence or message.HasField(name):
            yield key + write(getattr(message, name))


@cache
def _plan(kind: Descriptor) -> tuple[tuple[str, str, bool, _Write], ...]:
    """For each field its name, how its text begins, whether it may be unset, and what writes its value."""
    return tuple((field.name, f'"{field.name}":', field.has_presence, _whole(field)) for field in kind.fields)


def _whole(field: FieldDescriptor) -> _Write:
    """What writes all of a field."""
    if not field.is_repeated:
        return _one(field)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map(_one(field.message_type.fields_by_name["value"]))
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return _floats
    write = _one(field)
    return lambda values: "[" + ",".join(map(write, values)) + "]"


def _map(write: _Write) -> _Write:
    def key(value: Any) -> str:
        return encode(str(value).lower() if isinstance(value, bool) else str(value))

    return lambda values: "{" + ",".join(f"{key(name)}:{write(values[name])}" for name in values) + "}"


def _one(field: FieldDescriptor) -> _Write:
    """What writes one element of a field."""
    if field.message_type is not None:
        return _message(well_known(field), field.message_type)
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: f'"{b64encode(value).decode("ascii")}"'
    writers: dict[int, _Write] = {
        FieldDescriptor.CPPTYPE_BOOL: lambda value: "true" if value else "false",
        FieldDescriptor.CPPTYPE_DOUBLE: _double,
        FieldDescriptor.CPPTYPE_FLOAT: _float,
        FieldDescriptor.CPPTYPE_INT32: str,
        FieldDescriptor.CPPTYPE_INT64: lambda value: f'"{value}"',  # more digits than many languages' numbers have
        FieldDescriptor.CPPTYPE_STRING: encode,
        FieldDescriptor.CPPTYPE_UINT32: str,
        FieldDescriptor.CPPTYPE_UINT64: lambda value: f'"{value}"',
    }
    return writers[field.cpp_type]


def _message(name: str, kind: Descriptor) -> _Write:
    match name:
        case "":
            return message_text
        case "Struct" | "Value" | "ListValue":
            return lambda value: encode(_TREES[name](value))
        case "Timestamp" | "Duration" | "FieldMask":
            return lambda value: encode(value.ToJsonString())
        case "Any":
            return lambda value: encode(any_tree(value))
        case "Empty":
            return lambda _value: "{}"
        case _:  # a wrapper
            write = _one(kind.fields_by_name["value"])
            return lambda value: write(value.value)


def any_tree(value: Any) -> Json:
    """A google.protobuf.Any; one whose bytes cannot be read is shown as base64."""
    try:
        return json_format.MessageToDict(value, preserving_proto_field_name=True)
    except Exception:  # a type that this process does not know, or bytes that are not of the type they claim
        return {"@type": value.type_url, "value": b64encode(value.value).decode("ascii")}


def _enum(kind: EnumDescriptor) -> _Write:
    names = {value.number: f'"{value.name}"' for value in kind.values}
    return lambda number: names.get(number) or str(number)


def _double(value: float) -> str:
    return repr(value) if math.isfinite(value) else _SPECIAL.get(value, '"NaN"')


def _float(value: float) -> str:
    if not math.isfinite(value):
        return _SPECIAL.get(value, '"NaN"')
    if not value:
        return repr(value)  # `-0` would be an integer to some
    shortest = (f"{value:.{digits}g}" for digits in (6, 7, 8, 9))
    return next((text for text in shortest if _brings_back(text, value)), repr(value))


def _brings_back(text: str, value: float) -> bool:
    """Whether a text is read as a 32-bit float; the largest is not, when it is rounded up."""
    number = float(text)
    return abs(number) <= _MAX_FLOAT and struct.unpack("<f", struct.pack("<f", number)) == (value,)


def _floats(values: Sequence[float]) -> str:
    if not values:
        return "[]"
    text = ("%.6g," * len(values)) % tuple(values)
    layout = f"<{len(values)}f"
    if struct.pack(layout, *map(float, text[:-1].split(","))) != struct.pack(layout, *values):
        text = ("%.9g," * len(values)) % tuple(values)
    if "n" in text or "e+38," in text or "-0," in text:  # nan, inf, too large when rounded up, a zero with a sign
        return "[" + ",".join(map(_float, values)) + "]"
    return f"[{text[:-1]}]"


def _tree(value: Any) -> Json:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _TREES["Struct"](value.struct_value)
        case "list_value":
            return _TREES["ListValue"](value.list_value)
        case None | "null_value":
            return None
        case kind:
            return getattr(value, kind)


_TREES: dict[str, Callable[[Any], Json]] = {
    "ListValue": lambda message: [_tree(value) for value in message.values],
    "Struct": lambda message: {name: _tree(value) for name, value in message.fields.items()},
    "Value": _tree,
}
