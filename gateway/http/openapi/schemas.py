"""JSON Schemas of messages and enums, as they are written in JSON."""

from collections.abc import Mapping
from typing import Any, cast

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.http.expectations import well_known
from gateway.http.json_text import Json
from gateway.http.openapi.comments import Comments

_PREFIX = "#/components/schemas/"

_INTEGER_TEXT = r"^-?\d{1,20}$"

_WELL_KNOWN: dict[str, Json] = {
    "Any": {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]},
    "Duration": {"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$", "examples": ["1.5s"]},
    "Empty": {"type": "object"},
    "FieldMask": {"type": "string", "examples": ["content,metadata"]},
    "ListValue": {"type": "array"},
    "Struct": {"type": "object"},
    "Timestamp": {"type": "string", "format": "date-time"},
    "Value": {},
}

_SCALARS: dict[int, Json] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    # As text: JSON's numbers lose digits beyond 2^53 in many languages. Both are read.
    FieldDescriptor.CPPTYPE_INT64: {"type": ["string", "integer"], "format": "int64", "pattern": _INTEGER_TEXT},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "uint32", "minimum": 0},
    FieldDescriptor.CPPTYPE_UINT64: {"type": ["string", "integer"], "format": "uint64", "pattern": _INTEGER_TEXT},
}


class Schemas:
    """Makes schemas, and collects those that others refer to."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        #: By full name.
        self.components: dict[str, Json] = {}

    def of_field(self, field: FieldDescriptor) -> Json:
        """The schema of a field, lists and maps included, with what the proto says about it."""
        if _is_map(field):
            schema: Any = {"type": "object", "additionalProperties": self._of_element(_fields_in(field)["value"])}
        elif field.is_repeated:
            schema = {"type": "array", "items": self._of_element(field)}
        else:
            schema = dict(self._of_element(field))
        comment = self._comments[field.full_name]
        if comment.text:
            schema["description"] = comment.text
        if behaves(field, field_behavior_pb2.OUTPUT_ONLY):
            schema["readOnly"] = True
        return schema

    def of_message(self, kind: Descriptor) -> Json:
        """A reference to the schema of a message."""
        if kind.full_name not in self.components:
            self.components[kind.full_name] = {}  # it may contain itself
            self.components[kind.full_name] = self.written_out(kind)
        return {"$ref": _PREFIX + kind.full_name}

    def written_out(self, kind: Descriptor, *, partial: bool = False) -> Json:
        """The schema of a message in full; with `partial` nothing is required, as for a PATCH."""
        comment = self._comments[kind.full_name]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {field.name: self.of_field(field) for field in kind.fields},
            "additionalProperties": False,
        }
        if comment.text:
            schema["description"] = comment.text
        if comment.example is not None:
            schema["examples"] = [comment.example]
        required = [field.name for field in kind.fields if behaves(field, field_behavior_pb2.REQUIRED)]
        if required and not partial:
            schema["required"] = required
        return schema

    def _of_element(self, field: FieldDescriptor) -> Json:
        """The schema of a field that is given once."""
        name = well_known(field)
        if name in _WELL_KNOWN:
            return _WELL_KNOWN[name]
        if name:  # a wrapper: null is none
            return {"anyOf": [self._of_element(_fields_in(field)["value"]), {"type": "null"}]}
        if field.message_type is not None:
            return self.of_message(field.message_type)
        if field.enum_type is not None:
            return self._of_enum(field.enum_type)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return _SCALARS[field.cpp_type]

    def _of_enum(self, kind: EnumDescriptor) -> Json:
        if kind.full_name not in self.components:
            names = [value.name for value in kind.values]
            values = "\n".join(f"- `{name}`: {self._comments[f'{kind.full_name}.{name}'].text}" for name in names)
            description = f"{self._comments[kind.full_name].text}\n\n{values}"
            self.components[kind.full_name] = {"type": "string", "enum": names, "description": description}
        return {"$ref": _PREFIX + kind.full_name}


def kind_of(field: FieldDescriptor) -> Descriptor:
    """The message type of a field that has one."""
    return cast("Descriptor", field.message_type)


def behaves(field: FieldDescriptor, behavior: int) -> bool:
    """Whether the proto marks a field with a `google.api.field_behavior`."""
    return behavior in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _fields_in(field: FieldDescriptor) -> Mapping[str, FieldDescriptor]:
    """The fields of a field that is a message, by name."""
    return kind_of(field).fields_by_name
