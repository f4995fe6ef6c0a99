"""JSON values read into protobuf messages, with the path of everything that does not fit.

`google.protobuf.json_format` reads the leaves; walking the messages here gives exact paths, and refuses what it lets
pass: `[]` for a message, `true` for a number, a field in two spellings.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.http.errors import InvalidRequestError
from gateway.http.expectations import explain, is_json_of, well_known
from gateway.http.json_text import Json
from servicekit.errors import FieldViolation

#: More are not reported.
MAX_VIOLATIONS = 20

_NUMBERS = {float, int}
_FLOAT_MAX = 3.4028234663852886e38

#: Name of the request body in violations that are about all of it.
BODY = "body"


def find_field(kind: Descriptor, name: str) -> FieldDescriptor | None:
    """The field of a message by its proto name or its lowerCamelCase name."""
    if not name.isascii():  # a lone surrogate breaks the look-up
        return None
    return kind.fields_by_name.get(name) or kind.fields_by_camelcase_name.get(name)


def is_plain_message(field: FieldDescriptor) -> bool:
    """Whether one element of a field is a message whose JSON is an object with the message's fields."""
    return bool(field.message_type) and not well_known(field) and not _is_map(field)


def read_message(value: Json, message: Message) -> None:
    """Fill a message from a JSON object. Raises InvalidRequestError, naming fields by their path."""
    _raise_any(_read(value, message, ""))


def read_field(value: Json, message: Message, field: FieldDescriptor) -> None:
    """Fill one field of a message from a JSON value; null leaves it unset. Raises InvalidRequestError."""
    if value is not None:
        _raise_any(_read_field(value, message, field, field.name))


def _raise_any(violations: Iterator[FieldViolation]) -> None:
    if found := list(islice(violations, MAX_VIOLATIONS)):
        raise InvalidRequestError(found)


def _read(value: Json, message: Message, path: str) -> Iterator[FieldViolation]:
    if not isinstance(value, dict):
        yield FieldViolation(path or BODY, "must be a JSON object")
        return
    kind = cast("Descriptor", message.DESCRIPTOR)
    spelled: dict[str, str] = {}
    for key, item in value.items():
        field = find_field(kind, key)
        name = field.name if field else key[:100] or '""'
        at = f"{path}.{name}" if path else name
        if field is None:
            yield FieldViolation(at, f"is not a field of {kind.full_name}")
        elif item is None and well_known(field) != "Value":  # JSON for "not set"; a Value may be null itself
            continue
        elif (other := spelled.setdefault(_slot(field), key)) != key:
            yield FieldViolation(at, f"cannot be given together with {other}")
        else:
            yield from _read_field(item, message, field, at)


def _read_field(value: Json, message: Message, field: FieldDescriptor, path: str) -> Iterator[FieldViolation]:
    if _is_map(field):
        if not (isinstance(value, dict) and _fits(value, message, field)):
            yield FieldViolation(path, "must be a JSON object whose keys and values fit")
    elif not field.is_repeated:
        yield from _read_one(value, message, field, path)
    elif not isinstance(value, list):
        yield FieldViolation(path, "must be a JSON array")
    else:
        yield from _read_list(value, message, field, path)


def _read_list(value: list[Json], message: Message, field: FieldDescriptor, path: str) -> Iterator[FieldViolation]:
    if is_plain_message(field):
        for index, item in enumerate(value):
            yield from _read(item, getattr(message, field.name).add(), f"{path}[{index}]")
    elif field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT and _are_floats(value):
        getattr(message, field.name).extend(value)
    else:
        wrong = (index for index, item in enumerate(value) if not is_json_of(field, item))
        first = next(wrong, None)
        for index in _misfits(value, 0, message, field) if first is None else chain([first], wrong):
            yield from explain(field, value[index], f"{path}[{index}]")


def _misfits(values: list[Json], start: int, message: Message, field: FieldDescriptor) -> Iterator[int]:
    """Places of values that json_format does not take. By halves: a call for each of a million would take minutes."""
    if _fits(values, message, field):
        return
    if len(values) == 1:
        yield start
        return
    middle = len(values) // 2
    yield from _misfits(values[:middle], start, type(message)(), field)
    yield from _misfits(values[middle:], start + middle, type(message)(), field)


def _are_floats(values: list[Json]) -> bool:
    """Whether these are plain numbers that 32 bits hold: json_format takes 20 times as long to read a vector."""
    return set(map(type, values)) <= _NUMBERS and max(map(abs, cast("list[float]", values)), default=0) <= _FLOAT_MAX


def _read_one(value: Json, message: Message, field: FieldDescriptor, path: str) -> Iterator[FieldViolation]:
    if is_plain_message(field):
        inner = getattr(message, field.name)
        inner.SetInParent()  # `{}` is a message without fields, not an absent one
        yield from _read(value, inner, path)
    elif not (is_json_of(field, value) and _fits(value, message, field)):
        yield from explain(field, value, path)


def _fits(value: Json, message: Message, field: FieldDescriptor) -> bool:
    """Set the field if json_format can."""
    try:
        json_format.ParseDict({field.name: value}, message)
    except Exception:  # it lets several kinds through, depending on the value; its own `Parse` catches all as well
        return False
    return True


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _slot(field: FieldDescriptor) -> str:
    """What only one key of an object may fill: the field, or the oneof that it is in."""
    return field.containing_oneof.full_name if field.containing_oneof else field.name
