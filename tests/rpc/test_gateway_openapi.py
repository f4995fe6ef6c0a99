"""The OpenAPI document and the page that shows it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from gateway.http.openapi.document import openapi_document
from tests.fixtures_gateway import Fake, Rig, gateway
from tests.fixtures_gateway_code import CODE, GRAPH
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2

SERVICES = [
    embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"],
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"],
    CODE,
    GRAPH,
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rig() -> Any:
    async with gateway(store=Fake(), embedder=Fake()) as running:
        yield running


@pytest.fixture(scope="module")
def document() -> Any:
    return openapi_document(SERVICES)


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def messages(file: Any) -> list[Any]:
    return list(file.message_types_by_name.values())


def check(document: Any, name: str, value: Any) -> None:
    """Raise unless a value is valid by a schema of the document."""
    registry: Any = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))
    schema = {"$ref": f"urn:api#/components/schemas/{name}"}
    Draft202012Validator(schema, registry=registry).validate(value)


async def test_the_document_is_valid_openapi_3_1(rig: Rig) -> None:
    async with rig.http.get("/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        served = await response.json()

    assert served["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(served).validate()


async def test_it_has_all_routes_and_no_others(rig: Rig, document: Any) -> None:
    described = {(method.upper(), path) for method, path, _ in operations(document)}

    assert described >= {
        ("POST", "/v1/events:import"),
        ("POST", "/v1/embed:stream"),
        ("PATCH", "/v1/events/{event.id}"),
        ("POST", "/v1/embeddings"),
        ("GET", "/health"),
    }
    for method, path in described:
        at = re.sub(r"\{[^}]*\}", "x", path)
        async with rig.http.request("PROPFIND", at) as response:
            assert method in response.headers["Allow"].split(", "), path
    served = {(route.method, re.sub(r"=[^}]*", "", route.template.text)) for route in rig.server.routes}
    assert served - described == {("GET", "/docs"), ("GET", "/docs/page.css"), ("GET", "/docs/page.js")}


def test_everything_is_described(document: Any) -> None:
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert operation["responses"]["200"]
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (method, path, parameter)
    for name, schema in document["components"]["schemas"].items():
        if name.startswith("trimem."):
            assert schema["description"], name
            assert all(field["description"] for field in schema.get("properties", {}).values()), name


def test_nothing_of_the_administrative_services_is_told(document: Any) -> None:
    names = [tag["name"] for tag in document["tags"]]
    names += [*document["components"]["schemas"], *document["paths"]]
    names += [operation["operationId"] for _, _, operation in operations(document)]
    assert not re.search(r"Admin|SwapModel|LoadModel|Backfill|RetryFailed|GetStatus", " ".join(names))


def test_operations_have_names_of_their_own(document: Any) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_each_operation_needs_the_scope_that_its_route_has(rig: Rig, document: Any) -> None:
    for route in rig.server.routes:
        path = re.sub(r"=[^}]*", "", route.template.text)
        if not path.startswith("/docs"):
            needed = document["paths"][path][route.method.lower()]["security"]
            assert needed == ([{"bearer": [str(route.scope)]}] if route.scope else []), path


def test_required_fields_and_those_of_answers_are_marked(document: Any) -> None:
    schemas = document["components"]["schemas"]
    event = schemas["trimem.store.v1.Event"]

    assert schemas["trimem.store.v1.BatchCreateEventsRequest"]["required"] == ["requests"]
    assert event["required"] == ["content"]
    assert event["properties"]["create_time"]["readOnly"]
    assert "readOnly" not in event["properties"]["id"]
    patch = document["paths"]["/v1/events/{event.id}"]["patch"]["requestBody"]["content"]["application/json"]["schema"]
    assert "required" not in patch


def test_comments_that_say_required_or_output_only_are_marks_in_the_proto_too(document: Any) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, about in schema.get("properties", {}).items() if name.startswith("trimem.") else ():
            # "Required, unless" and "Required with it" are said of other fields.
            if re.search(r"(^|\. )Required\.", about["description"]):
                assert field in schema["required"], f"{name}.{field}"
            assert ("Output only." in about["description"]) == about.get("readOnly", False), f"{name}.{field}"


def test_examples_are_messages_and_fit_their_schemas(document: Any) -> None:
    count = 0
    for file in (embedding_pb2.DESCRIPTOR, event_service_pb2.DESCRIPTOR):
        for kind in messages(file):
            for example in document["components"]["schemas"].get(kind.full_name, {}).get("examples", ()):
                json_format.ParseDict(example, GetMessageClass(kind)())
                check(document, kind.full_name, example)
                count += 1
    assert count >= 6


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (event_service_pb2.SearchEventsResponse, {"hits": [{"event": {"id": "a"}}]}),
        (event_service_pb2.ImportEventsResponse, {"settled_count": 2**62, "errors": [{"error": {"code": 3}}]}),
        (event_service_pb2.BatchCreateEventsResponse, {"results": [{"error": {"code": 3, "message": "no"}}]}),
        (embedding_pb2.EmbedResponse, {"embeddings": [{"text": {"values": [0.5]}}], "models": [{"domain": 1}]}),
        (embedding_pb2.EmbedStreamResponse, {"id": "1", "error": {"code": 3}}),
    ],
)
def test_answers_fit_their_schemas(document: Any, kind: Any, value: Any) -> None:
    message = json_format.ParseDict(value, kind())
    tree = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    # What an answer leaves out because it is unset, a request must have.
    registry = json.loads(json.dumps(document))
    registry["components"]["schemas"]["trimem.store.v1.Event"].pop("required", None)
    registry["components"]["schemas"]["google.rpc.Status"].pop("required", None)
    check(registry, message.DESCRIPTOR.full_name, tree)


async def test_the_document_is_the_same_every_time_and_is_kept_by_its_tag(rig: Rig, document: Any) -> None:
    async with rig.http.get("/openapi.json") as response:
        tag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-cache"
        assert await response.read() == json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    for known in (tag, f'W/{tag}, "other"', "*"):
        async with rig.http.get("/openapi.json", headers={"If-None-Match": known}) as response:
            assert (response.status, await response.read()) == (304, b"")
    async with rig.http.get("/openapi.json", headers={"If-None-Match": '"other"'}) as response:
        assert response.status == 200


async def test_the_page_needs_nothing_from_elsewhere(rig: Rig) -> None:
    texts = {}
    for path, kind in (("/docs", "text/html"), ("/docs/page.css", "text/css"), ("/docs/page.js", "text/javascript")):
        async with rig.http.get(path) as response:
            assert (response.status, response.content_type) == (200, kind)
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            texts[path] = await response.text()

    page = texts["/docs"]
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"docs/page.css", "docs/page.js", "openapi.json"}
    assert not re.search(r"<script(?! src)|<style|style=|\son\w+=", page)
    assert all("//" not in text.replace("// ", "") for text in texts.values())
    assert "innerHTML" not in texts["/docs/page.js"]
