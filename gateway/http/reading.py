"""JSON values read into protobuf messages, with the path of everything that does not fit.

`google.protobuf.json_format` reads the leaves; walking the messages here gives exact paths, and refuses what it lets
pass: `[]` for a message, `true` for a number.
"""

from collections.abc import Iterator
from itertools import islice

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.http.errors import InvalidRequestError
from gateway.http.json_text import MAX_DEPTH, Json, NotANumber, depth
from servicekit.errors import FieldViolation

#: More are not reported.
MAX_VIOLATIONS = 20

#: Name of the request body in violations that are about all of it.
BODY = "body"

_WELL_KNOWN = "google.protobuf."
_FREE_FORM = {"Struct", "Value", "ListValue"}


def find_field(kind: Descriptor, name: str) -> FieldDescriptor | None:
    """The field of a message by its proto name or its lowerCamelCase name."""
    return kind.fields_by_name.get(name) or kind.fields_by_camelcase_name.get(name)


def is_plain(kind: Descriptor) -> bool:
    """Whether the JSON of a message is an object with its fields, as it is for all but the well-known types."""
    return not kind.full_name.startswith(_WELL_KNOWN)


def read_message(value: Json, message: Message) -> None:
    """Fill a message from a JSON object. Raises InvalidRequestError, naming fields by their path."""
    raise_any(_read(value, message, ""))


def read_field(value: Json, message: Message, field: FieldDescriptor) -> None:
    """Fill one field of a message from a JSON value. Raises InvalidRequestError."""
    raise_any(_read_field(value, message, field, field.name))


def raise_any(violations: Iterator[FieldViolation]) -> None:
    """Raise InvalidRequestError if there are violations."""
    if found := list(islice(violations, MAX_VIOLATIONS)):
        raise InvalidRequestError(found)


def _read(value: Json, message: Message, path: str) -> Iterator[FieldViolation]:
    if not isinstance(value, dict):
        yield FieldViolation(path or BODY, "must be a JSON object")
        return
    spelled: dict[str, str] = {}
    for key, item in value.items():
        field = find_field(message.DESCRIPTOR, key)
        at = _join(path, field.name if field else key[:100])
        if field is None:
            yield FieldViolation(at, f"is not a field of {message.DESCRIPTOR.full_name}")
        elif item is None:  # the JSON of "not set"
            continue
        elif (other := spelled.setdefault(_slot(field), key)) != key:
            yield FieldViolation(at, f"cannot be given together with {other}")
        else:
            yield from _read_field(item, message, field, at)


def _read_field(value: Json, message: Message, field: FieldDescriptor, path: str) -> Iterator[FieldViolation]:
    kind = field.message_type
    if kind is None or not is_plain(kind) or kind.GetOptions().map_entry:
        yield from _read_leaf(value, message, field, path)
    elif not field.is_repeated:
        target = getattr(message, field.name)
        target.SetInParent()
        yield from _read(value, target, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _read(item, getattr(message, field.name).add(), f"{path}[{index}]")
    else:
        yield FieldViolation(path, "must be a JSON array")


def _read_leaf(value: Json, message: Message, field: FieldDescriptor, path: str) -> Iterator[FieldViolation]:
    if field.is_repeated and not field.message_type:
        if not isinstance(value, list):
            yield FieldViolation(path, "must be a JSON array")
            return
        wrong = [index for index, item in enumerate(value) if not _is_json_of(field, item)]
    else:
        wrong = [] if field.is_repeated or _is_json_of(field, value) else [-1]
    if not wrong and _fits(value, message, field):
        return
    if field.is_repeated and isinstance(value, list):
        alone = type(message)
        for index, item in enumerate(value):
            if index in wrong or not _fits([item], alone(), field):
                yield from _explain(item, field, f"{path}[{index}]")
    else:
        yield from _explain(value, field, path)
