"""The HTTP side of RPCs, as their protos declare it."""

from collections.abc import Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from gateway.http.reading import find_field, is_plain_message
from gateway.http.templates import PathTemplate


@dataclass(frozen=True, slots=True)
class Binding:
    """One HTTP method and path for one RPC."""

    http_method: str
    template: PathTemplate
    rpc: MethodDescriptor
    #: The request field that is the body; "*" when the body is the whole request; "" when there is no body. Of a stream
    #: of requests each line is one of them, or one element of this field.
    body: str
    #: The response field that is the body, or "" for the whole response.
    response_body: str

    @property
    def rpc_path(self) -> str:
        """The name of the RPC as gRPC writes it."""
        return f"/{self.rpc.containing_service.full_name}/{self.rpc.name}"

    def fields_of(self, variable: str) -> list[FieldDescriptor]:
        """The fields that the name of a path variable leads through."""
        inside: Descriptor | None = self.rpc.input_type
        path = []
        for name in variable.split("."):
            field = find_field(inside, name) if inside else None
            if field is None:
                raise ValueError(f"{self.rpc.full_name}: {{{variable}}} is not a field of the request")
            path.append(field)
            inside = field.message_type
        return path


def bindings_of(service: ServiceDescriptor) -> Iterator[Binding]:
    """All bindings of a service, additional ones included. Raises ValueError for one that does not make sense."""
    for method in service.methods:
        options = method.GetOptions()
        if options.HasExtension(annotations_pb2.http):
            rule = options.Extensions[annotations_pb2.http]
            for each in (rule, *rule.additional_bindings):
                yield _binding(method, each)


def _binding(method: MethodDescriptor, rule: http_pb2.HttpRule) -> Binding:
    pattern = rule.WhichOneof("pattern")
    if pattern is None:
        raise ValueError(f"{method.full_name}: google.api.http without a path")
    verb, path = (rule.custom.kind, rule.custom.path) if pattern == "custom" else (pattern, getattr(rule, pattern))
    binding = Binding(verb.upper(), PathTemplate.parse(path), method, rule.body, rule.response_body)
    for variable in binding.template.variables:
        binding.fields_of(variable)
    if rule.body not in {"", "*", *method.input_type.fields_by_name}:
        raise ValueError(f"{method.full_name}: body {rule.body} is not a field of the request")
    if rule.response_body not in {"", *method.output_type.fields_by_name}:
        raise ValueError(f"{method.full_name}: response_body {rule.response_body} is not a field of the response")
    if method.client_streaming and not _is_streamable(binding):
        raise ValueError(f"{method.full_name}: a stream of requests is all body: `*`, or a list of messages")
    return binding


def _is_streamable(binding: Binding) -> bool:
    """Whether each line of a body can be a request of the stream, or an element of the one field of a request."""
    if binding.template.variables:
        return False
    field = binding.rpc.input_type.fields_by_name.get(binding.body)
    return binding.body == "*" or (field is not None and field.is_repeated and is_plain_message(field))
