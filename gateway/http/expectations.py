"""What JSON each kind of protobuf field is written as, and what to say when it is not."""

import base64
from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor

from gateway.http.json_text import MAX_DEPTH, Json, NotANumber, depth
from servicekit.errors import FieldViolation

_PACKAGE = "google.protobuf."
_FREE_FORM = {"Struct", "Value", "ListValue"}
_OBJECTS = {"Struct", "Any", "Empty"}
_TEXTS = {
    "Timestamp": "must be a time such as 2026-01-31T12:00:00Z",
    "Duration": "must be a duration such as 1.5s",
    "FieldMask": "must be a list of fields such as content,metadata",
}
_SCALARS = {
    FieldDescriptor.CPPTYPE_INT32: f"must be an integer from {-(2**31)} to {2**31 - 1}",
    FieldDescriptor.CPPTYPE_UINT32: f"must be an integer from 0 to {2**32 - 1}",
    FieldDescriptor.CPPTYPE_INT64: f"must be an integer from {-(2**63)} to {2**63 - 1}",
    FieldDescriptor.CPPTYPE_UINT64: f"must be an integer from 0 to {2**64 - 1}",
    FieldDescriptor.CPPTYPE_FLOAT: "must be a number within the range of 32-bit floats",
    FieldDescriptor.CPPTYPE_DOUBLE: "must be a number within the range of 64-bit floats",
    FieldDescriptor.CPPTYPE_BOOL: "must be true or false",
    FieldDescriptor.CPPTYPE_STRING: "must be a string",
}


def well_known(field: FieldDescriptor) -> str:
    """The short name of the well-known type of a field, such as `Timestamp`; empty for other types."""
    name: str = field.message_type.full_name if field.message_type else ""
    return name.removeprefix(_PACKAGE) if name.startswith(_PACKAGE) else ""


def wrapped(field: FieldDescriptor) -> FieldDescriptor:
    """The scalar field inside a wrapper such as google.protobuf.Int32Value; other fields as they are."""
    return field.message_type.fields_by_name["value"] if field.message_type and _is_wrapper(field) else field


def is_json_of(field: FieldDescriptor, value: Json) -> bool:
    """Whether a JSON value has the right JSON type for one element of a leaf field."""
    name = well_known(field)
    if name in _FREE_FORM and depth(value) > MAX_DEPTH:
        return False
    if name and not _is_wrapper(field):
        return name == "Value" or isinstance(value, dict if name in _OBJECTS else list if name == "ListValue" else str)
    scalar = wrapped(field)
    if scalar.type == FieldDescriptor.TYPE_BYTES:
        return isinstance(value, str) and _is_base64(value)
    return isinstance(value, _scalar_types(scalar)) and (
        isinstance(value, bool) == (scalar.cpp_type == FieldDescriptor.CPPTYPE_BOOL)
    )


def explain(field: FieldDescriptor, value: Json, path: str) -> Iterator[FieldViolation]:
    """What is wrong with a JSON value that one element of a leaf field did not take. At least one violation."""
    name = well_known(field)
    if name not in _FREE_FORM:
        yield FieldViolation(path, _expectation(wrapped(field), name, value))
    elif depth(value) > MAX_DEPTH:
        yield FieldViolation(path, f"is nested more than {MAX_DEPTH} levels deep")
    else:
        inside = list(_free_form(value, path))
        yield from inside or [FieldViolation(path, f"must be a JSON {'array' if name == 'ListValue' else 'object'}")]


def _expectation(field: FieldDescriptor, name: str, value: Json) -> str:
    if field.enum_type is not None:
        return f"must be one of {', '.join(value.name for value in field.enum_type.values)}"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "must be base64"
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and isinstance(value, str):
        return "must be valid Unicode text"
    return _TEXTS.get(name) or _SCALARS.get(field.cpp_type, "must be a JSON object that fits")


def _free_form(value: Json, path: str) -> Iterator[FieldViolation]:
    """What in a value of JSON types no google.protobuf.Value can hold. The value is not nested deeply."""
    if isinstance(value, dict):
        for key, item in value.items():
            at = f"{path}.{key[:100]}"
            if not _is_unicode(key):
                yield FieldViolation(at, "must have a name that is valid Unicode text")
            yield from _free_form(item, at)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _free_form(item, f"{path}[{index}]")
    elif isinstance(value, NotANumber):
        yield FieldViolation(path, "must be a finite number within the range of 64-bit floats")
    elif isinstance(value, str) and not _is_unicode(value):
        yield FieldViolation(path, "must be valid Unicode text")


def _is_wrapper(field: FieldDescriptor) -> bool:
    return well_known(field).endswith("Value") and well_known(field) not in _FREE_FORM


def _is_base64(text: str) -> bool:
    """Whether it is that, of either alphabet, padded or not.

    json_format leaves out what is none: a text that somebody forgot to encode would be stored as other bytes.
    """
    try:
        base64.b64decode((text + "=" * (-len(text) % 4)).replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        return False
    return True


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _scalar_types(field: FieldDescriptor) -> tuple[type, ...]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return (bool,)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return (str,)
    if field.enum_type is not None:
        return (str, int)
    return (str, int, float)  # JSON writes 64-bit integers as strings
