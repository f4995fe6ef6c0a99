"""Path templates of google.api.http, and the choice between them."""

from typing import Any

import pytest

from gateway.http.errors import MethodNotAllowedError, UnknownPathError
from gateway.http.routes import Route, Routes
from gateway.http.templates import PathTemplate


@pytest.mark.parametrize(
    ("template", "path", "variables"),
    [
        ("/v1/events", "/v1/events", {}),
        ("/v1/events", "/v1/events/", None),
        ("/v1/events", "/v1/eventsx", None),
        ("/v1/events", "/v1.events", None),
        ("/v1.0/events", "/v1x0/events", None),
        ("/v1/events/{id}", "/v1/events/7", {"id": "7"}),
        ("/v1/events/{id}", "/v1/events/a%2Fb", {"id": "a%2Fb"}),
        ("/v1/events/{id}", "/v1/events/", None),
        ("/v1/events/{id}", "/v1/events/a/b", None),
        ("/v1/events/{event.id}", "/v1/events/7", {"event.id": "7"}),
        ("/v1/events:batchCreate", "/v1/events:batchCreate", {}),
        ("/v1/events:batchCreate", "/v1/events", None),
        ("/v1/events/{id}:archive", "/v1/events/7:archive", {"id": "7"}),
        ("/v1/{name=shelves/*/books/*}", "/v1/shelves/1/books/2", {"name": "shelves/1/books/2"}),
        ("/v1/{name=shelves/*/books/*}", "/v1/shelves/1/magazines/2", None),
        ("/v1/{path=**}:read", "/v1/a/b/c:read", {"path": "a/b/c"}),
        ("/v1/*/{id}", "/v1/anything/7", {"id": "7"}),
        ("/v1/{a}/to/{b}", "/v1/x/to/y", {"a": "x", "b": "y"}),
    ],
)
def test_a_template_matches_whole_paths(template: str, path: str, variables: dict[str, str] | None) -> None:
    assert PathTemplate.parse(template).match(path) == variables


@pytest.mark.parametrize("text", ["v1/events", "/v1/{id", "/v1/{}", "/v1/{ID!}", "/v1/}"])
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a path template"):
        PathTemplate.parse(text)


def routes(*places: str) -> Routes:
    async def endpoint(_request: Any, _variables: dict[str, str]) -> Any:
        raise AssertionError

    return Routes(
        Route(method=method, template=PathTemplate.parse(path), endpoint=endpoint, scope=None)
        for method, path in (place.split() for place in places)
    )


@pytest.mark.parametrize("order", [1, -1])
def test_a_verb_is_not_taken_for_part_of_an_id(order: int) -> None:
    found, variables = routes(*["GET /v1/events/{id}", "GET /v1/events/{id}:archive"][::order]).find(
        "GET", "/v1/events/7:archive"
    )

    assert (found.template.text, variables) == ("/v1/events/{id}:archive", {"id": "7"})


@pytest.mark.parametrize("order", [1, -1])
def test_fixed_text_wins_over_a_variable(order: int) -> None:
    found, _ = routes(*["GET /v1/events/{id}", "GET /v1/events/latest"][::order]).find("GET", "/v1/events/latest")

    assert found.template.text == "/v1/events/latest"


def test_the_method_decides_between_equal_paths() -> None:
    table = routes("GET /v1/search", "POST /v1/search")

    assert table.find("POST", "/v1/search")[0].method == "POST"
    assert table.find("HEAD", "/v1/search")[0].method == "GET"


def test_a_wrong_method_is_told_the_right_ones() -> None:
    with pytest.raises(MethodNotAllowedError) as raised:
        routes("GET /v1/search", "POST /v1/search", "GET /v1/other").find("DELETE", "/v1/search")

    assert raised.value.allowed == ("GET", "POST")


def test_an_unknown_path_is_not_found() -> None:
    with pytest.raises(UnknownPathError):
        routes("GET /v1/search").find("GET", "/v1/nothing")
