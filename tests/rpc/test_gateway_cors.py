"""Web pages of other origins: none may use the API, unless the settings name their origin."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.fixtures_gateway import Fake, gateway, settings

APP = "https://app.example.com"
PREFLIGHT = {
    "Origin": APP,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}


def of_cors(response: Any) -> dict[str, str]:
    names = ("Access-Control-", "Vary")
    return {name: value for name, value in response.headers.items() if name.startswith(names)}


async def test_it_is_off_by_default() -> None:
    async with gateway(store=Fake()) as rig:
        async with rig.http.options("/v1/events", headers=PREFLIGHT) as response:
            assert (response.status, of_cors(response)) == (405, {})
        async with rig.http.get("/v1/events", headers={"Origin": APP}) as response:
            assert (response.status, of_cors(response)) == (200, {})


async def test_a_page_of_a_named_origin_may_ask_and_see() -> None:
    async with gateway(store=Fake(), http_cors_origins=("http://localhost:3000", APP)) as rig:
        async with rig.http.options("/v1/events", headers=PREFLIGHT) as response:
            assert response.status == 204
            assert of_cors(response) == {
                "Access-Control-Allow-Origin": APP,
                "Access-Control-Allow-Methods": "GET, POST",
                "Access-Control-Allow-Headers": PREFLIGHT["Access-Control-Request-Headers"],
                "Access-Control-Expose-Headers": "ETag, Retry-After, X-Request-Id",
                "Access-Control-Max-Age": "600",
                "Vary": "Origin",
            }
        for path, status in (("/v1/events", 200), ("/v1/events?page_size=x", 400), ("/nothing", 404)):
            async with rig.http.get(path, headers={"Origin": APP}) as response:
                assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (status, APP)


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", f"{APP}.evil.com", f"{APP}:444", APP.upper(), "null", "", f"{APP}/"]
)
async def test_a_page_of_another_origin_may_not(origin: str) -> None:
    async with gateway(store=Fake(), http_cors_origins=(APP,)) as rig:
        async with rig.http.options("/v1/events", headers={**PREFLIGHT, "Origin": origin}) as response:
            assert (response.status, of_cors(response)) == (405, {"Vary": "Origin"})
        async with rig.http.get("/v1/events", headers={"Origin": origin}) as response:
            assert (response.status, of_cors(response)) == (200, {"Vary": "Origin"})


async def test_all_origins_are_allowed_without_what_browsers_add_by_themselves() -> None:
    async with (
        gateway(store=Fake(), http_cors_origins=("*",)) as rig,
        rig.http.get("/v1/events", headers={"Origin": APP, "Cookie": "a=b"}) as response,
    ):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers


async def test_streams_are_marked_as_well() -> None:
    headers = {"Origin": APP, "Content-Type": "application/x-ndjson"}
    async with (
        gateway(embedder=Fake(), http_cors_origins=(APP,)) as rig,
        rig.http.post("/v1/embed:stream", data=b'{"input": "a"}', headers=headers) as response,
    ):
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, APP)


@pytest.mark.parametrize("path", ["/nothing", "/v1/events/a/b"])
async def test_there_is_nothing_to_ask_about_a_path_that_is_not_there(path: str) -> None:
    async with (
        gateway(store=Fake(), http_cors_origins=(APP,)) as rig,
        rig.http.options(path, headers=PREFLIGHT) as response,
    ):
        assert response.status == 404


async def test_names_of_headers_that_are_none_are_not_repeated() -> None:
    async with (
        gateway(store=Fake(), http_cors_origins=(APP,)) as rig,
        rig.http.options("/v1/events", headers={**PREFLIGHT, "Access-Control-Request-Headers": "a;b"}) as response,
    ):
        assert response.status == 204
        assert "Access-Control-Allow-Headers" not in response.headers


@pytest.mark.parametrize(
    ("value", "origins"),
    [("", ()), ("*", ("*",)), (f"{APP}, http://localhost:3000 ,", (APP, "http://localhost:3000"))],
)
def test_the_setting_is_a_list_with_commas(
    value: str, origins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_CORS_ORIGINS", value)
    assert settings().http_cors_origins == origins


@pytest.mark.parametrize("value", ["app.example.com", f"{APP}/", f"{APP}/app", "https://*.example.com", "null"])
def test_what_no_browser_would_send_as_an_origin_is_refused_at_the_start(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_CORS_ORIGINS", value)
    with pytest.raises(ValidationError, match="without a path"):
        settings()
