"""HTTP/JSON through the gateway: the annotations of the protos at work."""

import asyncio
import io
import json
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, status_pb2

from servicekit.errors import NotFoundError, ResourceExhaustedError
from servicekit.status import DETAILS_KEY
from tests.fixtures_gateway import (
    PATIENCE,
    Context,
    Fake,
    FakeEvents,
    Rig,
    backend_server,
    gateway,
    within_patience,
)
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2, event_service_pb2_grpc


async def ask(rig: Rig, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with asyncio.timeout(PATIENCE), rig.http.request(method, path, **options) as response:
        assert response.content_type == "application/json"
        return response.status, json.loads(await response.read())


async def test_a_body_that_is_one_field_and_an_answer_that_is_one_field() -> None:
    store = Fake()
    event = {"id": "x", "content": {"text": "tea", "n": [1, {"deep": None}]}, "timestamp": "2026-01-31T12:00:00Z"}
    async with gateway(store=store) as rig:
        status, answer = await ask(rig, "POST", "/v1/events", json=event)

    assert status == 200
    assert store.requests[0].event.content["text"] == "tea"
    unset = {"embedding_state": "EMBEDDING_STATE_UNSPECIFIED", "embedding_error": "", "embedding_attempts": 0}
    assert answer == {**event, **unset}


async def test_other_fields_of_a_request_come_from_the_query_beside_the_body() -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        status, _ = await ask(rig, "POST", "/v1/events?requestId=abc", json={"content": {}})

    assert status == 200
    assert store.requests[0].request_id == "abc"
    assert store.requests[0].event.HasField("content")


async def test_a_body_that_is_the_whole_request_under_a_custom_verb() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        results = [
            event_service_pb2.BatchCreateEventsResult(event=event_service_pb2.Event(id="a")),
            event_service_pb2.BatchCreateEventsResult(error=status_pb2.Status(code=3, message="no")),
        ]
        return event_service_pb2.BatchCreateEventsResponse(results=results)

    store = Fake(act)
    async with gateway(store=store) as rig:
        status, answer = await ask(
            rig, "POST", "/v1/events:batchCreate", json={"requests": [{"event": {"id": "a"}}, {"requestId": "r"}]}
        )

    assert status == 200
    assert [request.request_id for request in store.requests[0].requests] == ["", "r"]
    assert answer["results"][0]["event"]["id"] == "a"
    assert answer["results"][1]["error"] == {"code": 3, "message": "no", "details": []}


@pytest.mark.parametrize(
    ("path", "identity"),
    [("/v1/events/abc", "abc"), ("/v1/events/a%2Fb%20c%C3%BC", "a/b cü"), ("/v1/events/a:b", "a:b")],
)
async def test_a_variable_of_the_path(path: str, identity: str) -> None:
    store = Fake()
    async with gateway(store=store) as rig, rig.http.get(f"http://127.0.0.1:{rig.http_port}{path}") as response:
        assert response.status == 200
        assert (await response.json())["id"] == identity

    assert store.requests == [event_service_pb2.GetEventRequest(id=identity)]


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("", []),
        ("?updateMask=content,metadata", ["content", "metadata"]),
        ("?update_mask=*", ["*"]),
        ("?updateMask=embeddingState", ["embedding_state"]),
    ],
)
async def test_a_patch_names_its_event_in_the_path_and_what_changes_in_the_query(query: str, paths: list[str]) -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        status, answer = await ask(
            rig, "PATCH", f"/v1/events/abc{query}", json={"id": "another", "content": {"text": "tea"}}
        )

    assert status == 200
    [request] = store.requests
    assert isinstance(request, event_service_pb2.UpdateEventRequest)
    assert (request.event.id, request.event.content["text"]) == ("abc", "tea")
    assert not request.event.HasField("metadata")
    assert request.update_mask.paths == paths
    assert (answer["id"], answer["content"]) == ("abc", {"text": "tea"})


async def test_a_delete_has_an_empty_answer() -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        assert await ask(rig, "DELETE", "/v1/events/abc") == (200, {})

    assert store.requests == [event_service_pb2.DeleteEventRequest(id="abc")]


async def test_get_and_post_search_make_the_same_request() -> None:
    store = Fake()
    filters = {"topic": "tea", "tags": ["a"]}
    async with gateway(store=store) as rig:
        posted = {
            "query": "hot drink",
            "mode": "SEARCH_MODE_VECTOR",
            "metadataFilter": filters,
            "start_time": "2026-01-01T00:00:00Z",
            "minSimilarity": -0.5,
            "page_size": 3,
        }
        await ask(rig, "POST", "/v1/search", json=posted)
        params = {key: value if isinstance(value, str) else json.dumps(value) for key, value in posted.items()}
        await ask(rig, "GET", "/v1/search", params=params)

    first, second = store.requests
    assert first == second
    assert dict(first.metadata_filter)["topic"] == "tea"
    assert first.min_similarity == -0.5


@pytest.mark.parametrize(
    "query", ['vector={"values":[0.5,-1]}', "vector.values=0.5&vector.values=-1"], ids=["as JSON", "dotted"]
)
async def test_a_vector_in_a_query(query: str) -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        await ask(rig, "GET", f"/v1/search?{query}")

    assert list(store.requests[0].vector.values) == [0.5, -1]


async def test_answers_show_zeros_and_empty_lists_and_short_floats() -> None:
    async def search(_request: Any, _context: Context) -> Any:
        return event_service_pb2.SearchEventsResponse()

    async def embed(_request: Any, _context: Context) -> Any:
        vector = embedding_pb2.Vector(values=[0.1, 0.25])
        return embedding_pb2.EmbedResponse(embeddings=[embedding_pb2.Embedding(text=vector)])

    async with gateway(store=Fake(search), embedder=Fake(embed)) as rig:
        nothing = {"hits": [], "mode": "SEARCH_MODE_UNSPECIFIED", "next_page_token": ""}
        assert await ask(rig, "POST", "/v1/search", json={}) == (200, {**nothing, "complete": False, "degraded": False})
        _, answer = await ask(rig, "POST", "/v1/embed", json={"inputs": ["a"]})

    assert answer == {
        "embeddings": [{"text": {"values": [0.1, 0.25]}, "token_count": 0, "truncated": False, "cached": False}],
        "models": [],
    }


async def test_large_bodies_and_answers_pass_whole() -> None:
    store = Fake()
    text = "ü" * 2_000_000
    async with gateway(store=store) as rig:
        body = io.BytesIO(json.dumps({"content": {"text": text}}, ensure_ascii=False).encode())
        headers = {"Content-Type": "application/json"}
        status, answer = await ask(rig, "POST", "/v1/events", data=body, headers=headers)

    assert status == 200
    assert answer["content"]["text"] == text


async def test_an_empty_body_is_an_empty_request() -> None:
    store = Fake()
    async with gateway(store=store) as rig:
        await ask(rig, "POST", "/v1/search")
        await ask(rig, "POST", "/v1/events")

    assert store.requests == [event_service_pb2.SearchEventsRequest(), event_service_pb2.CreateEventRequest()]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=UTF-8", "application/x+json"])
async def test_declared_json_is_read(content_type: str) -> None:
    async with gateway(store=Fake()) as rig:
        status, _ = await ask(rig, "POST", "/v1/search", data=b"{}", headers={"Content-Type": content_type})

    assert status == 200


async def test_head_is_get_without_the_body() -> None:
    store = Fake()
    async with gateway(store=store) as rig, rig.http.head("/v1/events/abc") as response:
        assert response.status == 200
        assert await response.read() == b""


async def test_a_failure_of_a_backend_is_its_status_as_json() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        raise NotFoundError("no event has this id")

    async with gateway(store=Fake(act)) as rig:
        answer = await ask(rig, "GET", "/v1/events/abc", headers={"X-Request-Id": "req-7"})

    assert answer == (
        404,
        {
            "code": 5,
            "message": "no event has this id",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "NOT_FOUND", "domain": "trimem"},
                {"@type": "type.googleapis.com/google.rpc.RequestInfo", "request_id": "req-7"},
            ],
        },
    )


async def test_a_detail_of_an_unknown_type_is_shown_as_base64() -> None:
    async def act(_request: Any, context: Context) -> Any:
        status = status_pb2.Status(code=code_pb2.ABORTED, message="again")
        status.details.add(type_url="type.googleapis.com/other.Thing", value=b"\x00\xff")
        await context.abort(grpc.StatusCode.ABORTED, "again", ((DETAILS_KEY, status.SerializeToString()),))

    async with gateway(store=Fake(act)) as rig:
        status, answer = await ask(rig, "GET", "/v1/events/abc")

    assert status == 409
    assert answer["details"] == [{"@type": "type.googleapis.com/other.Thing", "value": "AP8="}]


async def test_a_delay_after_which_to_retry_is_also_a_header() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        raise ResourceExhaustedError("the queue is full", retry_after=1.2)

    async with gateway(store=Fake(act)) as rig, rig.http.get("/v1/events/abc") as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "2"


async def test_a_backend_that_is_down_is_named() -> None:
    async with gateway() as rig:
        status, answer = await ask(rig, "GET", "/v1/events/abc")

    assert (status, answer["code"], answer["message"]) == (503, 14, "the store cannot be reached")
    assert [detail["@type"].rpartition(".")[2] for detail in answer["details"]] == [
        "ErrorInfo",
        "RetryInfo",
        "RequestInfo",
    ]


async def test_a_backend_that_is_silent_until_the_deadline_is_reported() -> None:
    async def act(_request: Any, _context: Context) -> Any:
        await asyncio.Event().wait()

    store = Fake(act)
    async with gateway(store=store, default_deadline_seconds=0.2) as rig:
        status, answer = await ask(rig, "GET", "/v1/events/abc")

    assert (status, answer["code"]) == (504, 4)
    assert store.time_given is not None
    assert store.time_given <= 0.2


async def test_a_request_larger_than_the_backend_takes_is_the_callers_fault() -> None:
    servicer = FakeEvents(Fake())
    async with (
        backend_server(
            add=lambda server: event_service_pb2_grpc.add_EventServiceServicer_to_server(servicer, server),
            max_message_bytes=64 * 1024,
        ) as (_, target),
        gateway(store_target=target) as rig,
    ):
        status, answer = await ask(rig, "POST", "/v1/events", json={"content": {"text": "a" * 70_000}})

    assert (status, answer["code"], answer["message"]) == (413, 8, "the request is larger than the store takes")


async def test_a_client_that_hangs_up_cancels_the_backends_work() -> None:
    working, cancelled = asyncio.Event(), asyncio.Event()

    async def act(_request: Any, _context: Context) -> Any:
        working.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with gateway(store=Fake(act)) as rig:
        asking = asyncio.create_task(ask(rig, "GET", "/v1/events/abc"))
        await within_patience(working.wait())
        asking.cancel()
        await within_patience(cancelled.wait())
