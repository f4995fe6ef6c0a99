"""The routes that google.api.http annotations make, right and wrong ones."""

from typing import Any

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from gateway.http.bindings import Binding, bindings_of
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2


def made(rule: http_pb2.HttpRule | None, **method: Any) -> list[Binding]:
    """The bindings of a service whose one method has this rule."""
    file = descriptor_pb2.FileDescriptorProto(name="made.proto", package="made", syntax="proto3")
    message = file.message_type.add(name="Thing")
    message.field.add(name="id", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    message.field.add(name="inner", number=2, type="TYPE_MESSAGE", type_name=".made.Thing", label="LABEL_OPTIONAL")
    options = descriptor_pb2.MethodOptions()
    if rule is not None:
        options.Extensions[annotations_pb2.http].CopyFrom(rule)
    service = file.service.add(name="Things")
    service.method.add(name="Do", input_type=".made.Thing", output_type=".made.Thing", options=options, **method)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: ServiceDescriptor = pool.FindServiceByName("made.Things")
    return list(bindings_of(found))


def test_the_public_services_are_served_at_the_paths_of_their_annotations() -> None:
    services = (
        embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"],
        event_service_pb2.DESCRIPTOR.services_by_name["EventService"],
    )
    served = {
        (binding.http_method, binding.template.text): binding.rpc.name
        for service in services
        for binding in bindings_of(service)
    }

    assert {
        ("POST", "/v1/embed"): "Embed",
        ("POST", "/v1/similarity"): "ComputeSimilarity",
        ("GET", "/v1/embedding-models"): "ListModels",
        ("POST", "/v1/events"): "CreateEvent",
        ("POST", "/v1/events:batchCreate"): "BatchCreateEvents",
        ("GET", "/v1/events/{id}"): "GetEvent",
        ("PATCH", "/v1/events/{event.id}"): "UpdateEvent",
        ("DELETE", "/v1/events/{id}"): "DeleteEvent",
        ("GET", "/v1/events"): "ListEvents",
        ("GET", "/v1/search"): "SearchEvents",
        ("POST", "/v1/search"): "SearchEvents",
        ("POST", "/v1/events:import"): "ImportEvents",
        ("POST", "/v1/embed:stream"): "EmbedStream",
    }.items() <= served.items()


def test_a_rule_becomes_a_binding_and_so_does_each_additional_one() -> None:
    rule = http_pb2.HttpRule(patch="/v1/things/{inner.id}", body="inner", response_body="inner")
    rule.additional_bindings.add(custom={"kind": "search", "path": "/v1/things"}, body="*")

    first, second = made(rule)

    assert (first.http_method, first.body, first.response_body, first.rpc_path) == (
        "PATCH",
        "inner",
        "inner",
        "/made.Things/Do",
    )
    assert [field.name for field in first.fields_of("inner.id")] == ["inner", "id"]
    assert (second.http_method, second.template.text, second.body) == ("SEARCH", "/v1/things", "*")


def test_methods_without_a_rule_have_no_binding() -> None:
    assert made(None) == []


@pytest.mark.parametrize("kind", ["client_streaming", "server_streaming"])
def test_streams_have_bindings_too(kind: str) -> None:
    [binding] = made(http_pb2.HttpRule(post="/v1/things:stream", body="*"), **{kind: True})
    assert getattr(binding.rpc, kind)


@pytest.mark.parametrize(
    "rule",
    [
        http_pb2.HttpRule(post="/v1/things"),
        http_pb2.HttpRule(post="/v1/things", body="id"),
        http_pb2.HttpRule(post="/v1/things", body="inner"),
        http_pb2.HttpRule(post="/v1/things/{id}", body="*"),
    ],
)
def test_a_stream_of_requests_that_is_not_all_body_stops_the_gateway_at_start(rule: http_pb2.HttpRule) -> None:
    with pytest.raises(ValueError, match="a stream of requests is all body"):
        made(rule, client_streaming=True)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (http_pb2.HttpRule(get="/v1/things/{nope}"), "{nope} is not a field of the request"),
        (http_pb2.HttpRule(get="/v1/things/{id.nope}"), "{id.nope} is not a field of the request"),
        (http_pb2.HttpRule(post="/v1/things", body="nope"), "body nope is not a field of the request"),
        (http_pb2.HttpRule(get="/v1/things", response_body="nope"), "response_body nope is not a field"),
        (http_pb2.HttpRule(body="*"), "google.api.http without a path"),
        (http_pb2.HttpRule(get="v1/things"), "not a path template: v1/things"),
    ],
)
def test_a_rule_that_makes_no_sense_stops_the_gateway_at_start(rule: http_pb2.HttpRule, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("{", r"\{")):
        made(rule)
