"""The operations of the document: one for each binding."""

import re
from collections.abc import Iterator

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.auth.scopes import scope_of
from gateway.http.bindings import Binding
from gateway.http.expectations import well_known
from gateway.http.json_text import Json
from gateway.http.line_stream import CONTENT_TYPE as NDJSON
from gateway.http.openapi.comments import Comments
from gateway.http.openapi.schemas import Schemas, behaves, kind_of
from gateway.http.reading import is_plain_message

_JSON = "application/json"


def path_of(binding: Binding) -> str:
    """The path as OpenAPI writes it: variables without their patterns."""
    return re.sub(r"\{([\w.]+)=[^}]*\}", r"{\1}", binding.template.text)


def operation(binding: Binding, number: int, comments: Comments, schemas: Schemas) -> Json:
    """The operation of a binding, which is that of its RPC with this number, from 0."""
    rpc = binding.rpc
    comment = comments[rpc.full_name]
    found: dict[str, Json] = {
        "operationId": f"{rpc.containing_service.name}_{rpc.name}" + (f"_{number + 1}" if number else ""),
        "tags": [rpc.containing_service.name],
        "summary": comment.summary,
        "description": comment.text,
        "security": [{"bearer": [str(scope_of(rpc))]}],
    }
    if parameters := [*_path_parameters(binding, schemas), *_query_parameters(binding, schemas)]:
        found["parameters"] = parameters
    if binding.body:
        found["requestBody"] = {"required": True, "content": _request_content(binding, schemas)}
    found["responses"] = {
        "200": {"description": "OK", "content": _response_content(binding, schemas)},
        "default": {"$ref": "#/components/responses/Error"},
    }
    return found


def _path_parameters(binding: Binding, schemas: Schemas) -> Iterator[Json]:
    for variable in binding.template.variables:
        schema = schemas.of_field(binding.fields_of(variable)[-1])
        yield {"name": variable, "in": "path", "required": True, **_described(schema)}


def _query_parameters(binding: Binding, schemas: Schemas) -> Iterator[Json]:
    """What the body and the path leave of the request, as `gateway.http.query` reads it."""
    if binding.body == "*" or binding.rpc.client_streaming:
        return
    taken = {binding.body, *(name.split(".")[0] for name in binding.template.variables)}
    for field in binding.rpc.input_type.fields:
        if field.name not in taken:
            yield from _flat(field, "", schemas, ())


def _flat(field: FieldDescriptor, prefix: str, schemas: Schemas, within: tuple[Descriptor, ...]) -> Iterator[Json]:
    name = prefix + field.name
    if is_plain_message(field) and not field.is_repeated:
        kind = kind_of(field)
        if kind not in within:
            for inner in kind.fields:
                yield from _flat(inner, f"{name}.", schemas, (*within, kind))
        return
    parameter: dict[str, Json] = {"name": name, "in": "query", **_described(schemas.of_field(field))}
    if behaves(field, field_behavior_pb2.REQUIRED) and not prefix:
        parameter["required"] = True
    if field.message_type is not None and well_known(field) not in {"Timestamp", "Duration", "FieldMask"}:
        parameter["content"] = {_JSON: {"schema": parameter.pop("schema")}}  # JSON, percent-encoded
    yield parameter


def _described(schema: Json) -> dict[str, Json]:
    """A parameter's description stands beside its schema."""
    rest = {key: value for key, value in schema.items() if key != "description"}
    return {"description": schema["description"], "schema": rest} if "description" in schema else {"schema": rest}


def _request_content(binding: Binding, schemas: Schemas) -> Json:
    kind: Descriptor = binding.rpc.input_type
    field = kind.fields_by_name.get(binding.body)
    if binding.rpc.client_streaming:
        line = schemas.of_message(kind if field is None else kind_of(field))
        return {NDJSON: {"schema": {**line, "description": "Each line of the body."}}}
    if field is None:
        return {_JSON: {"schema": schemas.of_message(kind)}}
    if binding.http_method == "PATCH" and is_plain_message(field):
        return {_JSON: {"schema": schemas.written_out(kind_of(field), partial=True)}}
    return {_JSON: {"schema": schemas.of_field(field)}}


def _response_content(binding: Binding, schemas: Schemas) -> Json:
    kind: Descriptor = binding.rpc.output_type
    if binding.rpc.server_streaming:
        line = schemas.of_message(kind)
        return {NDJSON: {"schema": {**line, "description": "Each line of the answer."}}}
    field = kind.fields_by_name.get(binding.response_body)
    return {_JSON: {"schema": schemas.of_message(kind) if field is None else schemas.of_field(field)}}
