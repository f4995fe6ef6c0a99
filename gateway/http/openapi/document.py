"""The OpenAPI 3.1 document."""

import json
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files

from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import status_pb2

from gateway.http.bindings import bindings_of
from gateway.http.json_text import Json
from gateway.http.openapi.comments import Comments
from gateway.http.openapi.operations import operation, path_of
from gateway.http.openapi.schemas import Schemas


def openapi_document(services: Iterable[ServiceDescriptor]) -> Json:
    """The document of these services, and of what is served beside them (`beside.json`)."""
    services = list(services)
    comments = Comments({service.file.name: service.file for service in services}.values())
    schemas = Schemas(comments)
    beside = json.loads(files(__package__).joinpath("beside.json").read_text("utf-8"))
    paths: dict[str, Json] = {}
    for service in services:
        numbers: dict[str, int] = {}
        for binding in bindings_of(service):
            number = numbers.setdefault(binding.rpc.name, 0)
            numbers[binding.rpc.name] += 1
            item = paths.setdefault(path_of(binding), {})
            item[binding.http_method.lower()] = operation(binding, number, comments, schemas)
    schemas.of_message(status_pb2.Status.DESCRIPTOR)
    tags = [{"name": service.name, "description": comments[service.full_name].text} for service in services]
    return {
        "openapi": "3.1.0",
        "info": {**beside["info"], "version": version("trimem")},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [*tags, *beside["tags"]],
        "paths": dict(sorted({**paths, **beside["paths"]}.items())),
        "components": {
            **beside["components"],
            "schemas": dict(sorted({**schemas.components, **beside["components"]["schemas"]}.items())),
        },
    }
